"""`manage.py audit_heads`: write down how far each chain reaches, signed."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from audit.chain import append_heads


class Command(BaseCommand):
    help = "Append each chain's signed head to AUDIT_HEADS_FILE where it is further than the last one there."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        added = append_heads(Path(settings.AUDIT_HEADS_FILE))
        self.stdout.write(f"{len(added)} heads added to {settings.AUDIT_HEADS_FILE}.")
