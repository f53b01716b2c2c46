"""`manage.py verify_audit`: check every row of every chain."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.models import Entry
from audit.services import verify


class Command(BaseCommand):
    help = "Walk each organization's chain of audit rows; name the first row that does not hold, and exit with 1."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", type=int, help="The id of one organization; all of them by default.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        wanted = options["organization"]
        chains = [wanted] if wanted is not None else _chains()
        broken = 0
        for organization_id in chains:
            name = "the platform" if organization_id is None else f"organization {organization_id}"
            found = verify(organization_id)
            if found is None:
                rows = Entry.objects.filter(organization_id=organization_id).count()
                self.stdout.write(f"{name}: {rows:,} rows hold.")
            else:
                broken += 1
                self.stderr.write(f"{name}: row {found.entry_id} (position {found.position}) is broken: {found.why}.")
        if broken:
            raise CommandError(f"{broken} of {len(chains)} chains do not hold.")


def _chains() -> list[int | None]:
    rows = Entry.objects.order_by("organization_id").values_list("organization_id", flat=True).distinct()
    return list(rows)
