"""A Flask service: `flask --app docs/examples/flask_shop run`, with FLAGSHIP_URL and FLAGSHIP_SERVER_KEY set."""

import os

from flask import Flask, Response, jsonify, request
from openflagship import Context, FlagShip

app = Flask(__name__)
flags = FlagShip(
    os.environ["FLAGSHIP_SERVER_KEY"],
    os.environ["FLAGSHIP_URL"],
    stream_url=os.environ.get("FLAGSHIP_STREAM_URL"),
)


@app.get("/checkout")
def checkout() -> Response:
    user = Context(request.args.get("user"), {"country": request.args.get("country")})
    detail = flags.variation_detail("new-checkout", user, False)
    return jsonify(checkout="new" if detail.value else "old", reason=detail.reason)


@app.post("/purchase")
def purchase() -> tuple[str, int]:
    flags.track("purchase", request.json["user"], request.json["total"])
    return "", 204
