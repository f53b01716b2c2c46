"""`manage.py verify_audit`: check every row of every chain."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.chain import expected_chains, read_heads, verify
from audit.models import Entry


class Command(BaseCommand):
    help = "Walk each organization's chain of audit rows; name every row that does not hold, and exit with 1."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", type=int, help="The id of one organization; all of them by default.")
        parser.add_argument(
            "--heads",
            type=Path,
            default=Path(settings.AUDIT_HEADS_FILE),
            help="The file of signed heads (AUDIT_HEADS_FILE by default); keep a copy of it on another machine.",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            heads = read_heads(options["heads"])
        except ValueError as error:
            raise CommandError(f"{error} The heads prove nothing.") from error
        must_be_there = expected_chains() | set(heads)
        chains = must_be_there | set(Entry.objects.values_list("organization_id", flat=True).distinct())
        wanted = options["organization"]
        if wanted is not None:
            if wanted not in chains:
                raise CommandError(f"There is no organization {wanted}, and the log has no row of one.")
            chains = {wanted}
        if not heads:
            self.stdout.write(f"There are no heads in {options['heads']}: rows removed at a chain's end do not show.")
        broken = 0
        for organization_id in sorted(chains, key=lambda each: each or 0):
            broken += self._check(organization_id, heads, is_expected=organization_id in must_be_there)
        if broken:
            raise CommandError(f"{broken} of {len(chains)} chains do not hold.")

    def _check(self, organization_id: int | None, heads: dict[Any, Any], *, is_expected: bool) -> bool:
        """Say how one chain is. Returns whether it is broken."""
        name = "the platform" if organization_id is None else f"organization {organization_id}"
        head = heads.get(organization_id)
        found = verify(organization_id, head)
        if not found.rows and is_expected:
            self.stderr.write(f"{name}: there is no row at all; its chain was removed.")
            return True
        for row in found.broken:
            at = f"row {row.entry_id} (position {row.position})" if row.entry_id else f"position {row.position}"
            self.stderr.write(f"{name}: {at} is broken: {row.why}.")
        if not found.broken:
            old = f", {found.unkeyed:,} of them from before rows were keyed" if found.unkeyed else ""
            since = f", and reach the head of {head.at}" if head else ""
            self.stdout.write(f"{name}: {found.rows:,} rows hold{old}{since}.")
        return bool(found.broken)
