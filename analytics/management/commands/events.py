"""`manage.py events dead-letters list|retry|discard`: what could not be stored."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics import dead_letters
from analytics.models import DeadLetter
from analytics.stream import StreamAwayError, StreamFullError


class Command(BaseCommand):
    help = "Look at events that could not be stored, send them again, or throw them away."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["dead-letters"])
        parser.add_argument("action", choices=["list", "retry", "discard"])
        parser.add_argument("ids", nargs="*", type=int, help="Dead letters by id; with --all, every one.")
        parser.add_argument("--all", action="store_true", help="Every dead letter.")
        parser.add_argument("--limit", type=int, default=50, help="How many to list.")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["action"] == "list":
            self._list(options["ids"], options["limit"])
            return
        if not options["ids"] and not options["all"]:
            raise CommandError("Name the dead letters by id, or say --all.")
        ids = None if options["all"] else options["ids"]
        if options["action"] == "discard":
            self.stdout.write(f"Discarded {dead_letters.discard(ids)}.")
            return
        try:
            self.stdout.write(f"Sent {dead_letters.retry(ids)} again.")
        except (StreamAwayError, StreamFullError) as error:
            raise CommandError(f"Not all were sent: {error}") from error

    def _list(self, ids: list[int], limit: int) -> None:
        rows = DeadLetter.objects.filter(pk__in=ids) if ids else DeadLetter.objects.all()
        for row in rows[:limit]:
            self.stdout.write(f"{row.pk}  {row.received_at:%Y-%m-%d %H:%M:%S}  {row.kind}  {row.reason}")
        self.stdout.write(f"{rows.count()} dead letters.")
