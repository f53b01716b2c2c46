"""`manage.py ingest`: a consumer process, from the event stream into the store; run several for more throughput."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from analytics.ingest import run_lanes


class Command(BaseCommand):
    help = "Store events from the stream until told to stop (SIGTERM or SIGINT finish the batches at hand)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--lanes", type=int, default=2, help="Threads, each with a database connection (default 2)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        run_lanes(max(1, options["lanes"]))
