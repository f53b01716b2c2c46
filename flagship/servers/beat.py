"""Celery's beat, told to end: at once, wherever it is."""

from typing import Any

from celery import platforms
from celery.apps import beat


class Beat(beat.Beat):
    def install_sync_handler(self, service: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Celery's own handler writes the schedule, in the middle of a query where there is one.

        There it waits for ever for the connection's lock, which its own thread holds. Beat writes the schedule as it
        ends anyway.
        """

        def end(*_: object) -> None:
            raise SystemExit

        platforms.signals.update(SIGTERM=end, SIGINT=end)
