"""`manage.py ingest`: a process that stores events from the broker. Several share the work."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from analytics.pipeline.figures import serve_figures
from analytics.pipeline.ingest import run_lanes

# An event may wait for a moment; an evaluation has a caller who waits.
_NICENESS = 10


class Command(BaseCommand):
    help = "Store events from the stream until told to stop (SIGTERM or SIGINT finish the batches at hand)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--lanes", type=int, default=2, help="Threads, each with a database connection (default 2)."
        )
        parser.add_argument(
            "--nice",
            type=int,
            default=_NICENESS,
            help="How far to step back where evaluations need the same cores, 0 to 19 (default 10).",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        serve_figures()
        os.nice(options["nice"])
        run_lanes(max(1, options["lanes"]))
