"""Tasks that a worker has taken and not finished: a living worker vouches for them, a dead one's run again in minutes.

Redis hands a task to the next worker once it was taken longer ago than the visibility time-out. That has to be short,
or a killed worker's tasks wait; and a task may run for an hour. So each worker renews what it holds.
"""

import time
from typing import Any

from celery import Celery, bootsteps

RENEW_EVERY_SECONDS = 20.0


class Vouch(bootsteps.StartStopStep):
    """Part of a worker's consumer."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **_options: Any) -> None:
        super().__init__(parent, **_options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        self._timer = parent.timer.call_repeatedly(RENEW_EVERY_SECONDS, renew, (parent.task_consumer.channel,))

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - the step's signature
        if self._timer is not None:
            self._timer.cancel()


def renew(channel: Any) -> int:
    """Set the time at which each task that this channel holds was taken to now. Return how many there are."""
    tags = list(channel.qos._delivered)  # noqa: SLF001 - kombu tells nobody otherwise what it holds
    if tags:
        with channel.conn_or_acquire() as redis:
            redis.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)
    return len(tags)


def install(app: Celery) -> None:
    app.steps["consumer"].add(Vouch)
