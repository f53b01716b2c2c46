"""`manage.py ingest`: a consumer process, from the event stream into the store; run several for more throughput."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from analytics.ingest import Consumer


class Command(BaseCommand):
    help = "Store events from the stream until told to stop (SIGTERM or SIGINT finish the batch at hand)."

    def handle(self, *_args: Any, **_options: Any) -> None:
        consumer = Consumer()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: consumer.stop())
        consumer.run()
