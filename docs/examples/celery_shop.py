"""A Celery worker: `celery --app docs.examples.celery_shop worker`, FLAGSHIP_ variables and CELERY_BROKER set."""

import os

from celery import Celery
from openflagship import FlagShip

app = Celery("shop", broker=os.environ.get("CELERY_BROKER", "redis://127.0.0.1:6379/0"))
# Made once, before the pool forks: every worker process restarts it by itself.
flags = FlagShip(
    os.environ["FLAGSHIP_SERVER_KEY"],
    os.environ["FLAGSHIP_URL"],
    stream_url=os.environ.get("FLAGSHIP_STREAM_URL"),
)


@app.task
def send_receipt(user_id: str) -> str:
    if flags.is_enabled("new-checkout", user_id):
        return "new receipt"
    return "old receipt"
