"""`manage.py version_log prune`: delete old steps of the version log now, or count them."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import system
from flags.services import prune_version_log


class Command(BaseCommand):
    help = "Look after the version log: history, rollback and time travel reach back as far as it does."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        prune = what.add_parser(
            "prune", help="Drop steps that are older than they are kept, and that nothing rests on."
        )
        prune.add_argument("--days", type=int, help="Keep so many days; VERSION_LOG_RETENTION_DAYS by default.")
        prune.add_argument("--dry-run", action="store_true", help="Say what would go, and let nothing go.")

    def handle(self, *_args: Any, **options: Any) -> None:
        days = settings.VERSION_LOG_RETENTION_DAYS if options["days"] is None else options["days"]
        if days < 1:
            raise CommandError("VERSION_LOG_RETENTION_DAYS is 0, which keeps all; name the --days, 1 or more.")
        before = timezone.now() - timedelta(days=days)
        found = prune_version_log(actor=system("version log retention"), before=before, dry_run=options["dry_run"])
        for pruned in found:
            self.stdout.write(str(pruned))
        if not found:
            self.stdout.write("There is nothing to drop.")
