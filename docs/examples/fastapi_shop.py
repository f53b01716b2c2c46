"""A FastAPI service: `uvicorn docs.examples.fastapi_shop:app`, with FLAGSHIP_URL and FLAGSHIP_SERVER_KEY set."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from openflagship import AsyncFlagShip, Context


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncFlagShip(
        os.environ["FLAGSHIP_SERVER_KEY"],
        os.environ["FLAGSHIP_URL"],
        stream_url=os.environ.get("FLAGSHIP_STREAM_URL"),
    ) as app.state.flags:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/checkout")
async def checkout(request: Request, user: str, country: str | None = None) -> dict[str, str]:
    detail = request.app.state.flags.variation_detail("new-checkout", Context(user, {"country": country}), False)
    return {"checkout": "new" if detail.value else "old", "reason": detail.reason}


@app.post("/purchase", status_code=204)
async def purchase(request: Request, user: str, total: float) -> None:
    request.app.state.flags.track("purchase", user, total)
