"""Deal an environment's users anew, again and again, and count what the whole pipeline claims: false alarms all."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from experiments.design.pipeline_check import Alarms, check_pipeline
from experiments.selectors import environment_at
from tenancy.errors import ServiceError


class Command(BaseCommand):
    help = (
        "Split an environment's users at random, many times, through the whole analysis, and report false alarms by "
        "metric and method. Stores nothing. Ends with 1 where there are more than chance explains."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--environment", default="acme/web/production", help="organization/project/environment")
        parser.add_argument("--flag", help="The flag whose users are split; the one most seen when left out.")
        parser.add_argument("--splits", type=int, default=200)
        parser.add_argument("--days", type=int, default=14, help="Users of so many last days.")
        parser.add_argument("--users", type=int, default=20_000, help="At most so many of them.")
        parser.add_argument("--alpha", type=float, default=0.05)
        parser.add_argument("--salt", help="What the splits are dealt by, to repeat a check; fresh when left out.")

    def handle(self, **options: Any) -> None:
        try:
            users, rows = check_pipeline(
                environment_at(options["environment"]),
                flag_key=options["flag"],
                splits=options["splits"],
                days=options["days"],
                most_users=options["users"],
                alpha=options["alpha"],
                salt=options["salt"],
                now=timezone.now(),
                progress=self._progress if options["verbosity"] > 1 else lambda _: None,
            )
        except ServiceError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{users:,} users, split {options['splits']} times.\n")
        width = max(len(row.what) for row in rows)
        self.stdout.write(f"{'judged':<{width}}  {'method':<22}{'alarms':>8}{'of':>6}{'allowed':>9}{'rate':>8}")
        for row in rows:
            self.stdout.write(_line(row, width))
        beyond = [row for row in rows if row.is_beyond]
        if not beyond:
            self.stdout.write("\nNo more false alarms than chance explains.")
            return
        names = ", ".join(f"{row.what} by {row.method}" for row in beyond)
        self.stderr.write(f"\nMORE false alarms than chance explains: {names}. Do not trust decisions by these.")
        sys.exit(1)

    def _progress(self, done: int) -> None:
        self.stderr.write(f"split {done}")


def _line(row: Alarms, width: int) -> str:
    mark = "  BEYOND" if row.is_beyond else ""
    rate = row.alarms / row.judged
    return f"{row.what:<{width}}  {row.method:<22}{row.alarms:>8}{row.judged:>6}{row.most:>9}{rate:>8.1%}{mark}"
