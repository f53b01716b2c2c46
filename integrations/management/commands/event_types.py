"""`manage.py event_types`: the tables of docs/reference/events.md."""

from typing import Any

from django.core.management.base import BaseCommand

from integrations.event_types import markdown_tables


class Command(BaseCommand):
    help = "Print every event type with what its states hold: the tables of docs/reference/events.md."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        self.stdout.write(markdown_tables())
