"""`manage.py export_events`: one environment's raw events as a Parquet file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics import services
from analytics.management.arguments import moment
from audit.actors import system
from tenancy.errors import ServiceError
from tenancy.models import Environment


class Command(BaseCommand):
    help = "Write an environment's exposures or conversions to a Parquet file (needs requirements-parquet.txt)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", choices=["exposures", "conversions"])
        parser.add_argument("file", type=Path)
        parser.add_argument("--environment", required=True, help="organization/project/environment")
        parser.add_argument("--since", type=moment, help="From this day or instant (UTC) on, by when it happened.")
        parser.add_argument("--until", type=moment, help="Before this day or instant (UTC).")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            count = services.export_events(
                actor=system("export_events"),
                environment=_environment(options["environment"]),
                table=options["table"],
                path=options["file"],
                since=options["since"],
                until=options["until"],
            )
        except (ServiceError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Wrote {count:,} {options['table']} to {options['file']}.")


def _environment(path: str) -> Environment:
    parts = path.split("/")
    if len(parts) != 3:
        raise CommandError("Name the environment as organization/project/environment.")
    organization, project, key = parts
    wanted = {"project__organization__slug": organization, "project__key": project, "key": key}
    found = Environment.objects.select_related("project").filter(**wanted).first()
    if found is None:
        raise CommandError(f"There is no environment {path}.")
    return found
