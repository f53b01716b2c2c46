"""`manage.py audit_actions`: the table of docs/reference/audit.md."""

from typing import Any

from django.core.management.base import BaseCommand

from audit.actions import markdown_table


class Command(BaseCommand):
    help = "Print every audit action, what it means and what its rows hold: the table of docs/reference/audit.md."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        self.stdout.write(markdown_table())
