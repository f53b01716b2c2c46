"""`manage.py forget_user`: export one user's events, erase them, or both."""

from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics import services
from audit.actors import system
from tenancy.errors import Conflict
from tenancy.models import Organization


class Command(BaseCommand):
    help = (
        "Erase a user's events in all environments of an organization, or export them as JSON lines. "
        "Events alone: `POST privacy/erase` covers targets, segments and history as well."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, help="Its slug.")
        parser.add_argument("--user-id", required=True)
        parser.add_argument("--export", type=Path, help="Write what is stored to this file first.")
        parser.add_argument("--export-only", action="store_true", help="Erase nothing.")
        parser.add_argument(
            "--wait-seconds", type=float, default=60, help="For events still on their way (default 60)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        actor, user_id = system("forget_user"), options["user_id"]
        if options["export_only"] and not options["export"]:
            raise CommandError("Say where to with --export FILE.")
        try:
            services.wait_until_stored(options["wait_seconds"])
        except Conflict as error:
            raise CommandError(str(error)) from error
        if options["export"]:
            with options["export"].open("wb") as file:
                for event in services.export_user(actor=actor, organization=organization, user_id=user_id):
                    file.write(orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE))
            self.stdout.write(f"Wrote {options['export']}.")
        if not options["export_only"]:
            erased = services.forget_user(actor=actor, organization=organization, user_id=user_id)
            self.stdout.write(f"Erased {erased.exposures:,} exposures and {erased.conversions:,} conversions.")
