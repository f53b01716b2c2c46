"""`manage.py protect_audit`: take the audit log's table away from the application's role, or give it back."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.ownership import protect, release, way_in

Said = TypeVar("Said")


class Command(BaseCommand):
    help = (
        "Let the application's role read and append audit rows, and nothing else: the table and its triggers go to a "
        "role that nobody signs in as. Needs DATABASE_ADMIN_URL, a superuser's address of the same database."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--release", action="store_true", help="Give the table back, before `migrate` changes it.")
        parser.add_argument("--migrate", action="store_true", help="Give the table back, migrate, and take it again.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        url = os.environ.get("DATABASE_ADMIN_URL", "")
        if not url:
            raise CommandError("Set DATABASE_ADMIN_URL to a superuser's address of the database.")
        role = settings.DATABASES["default"]["USER"]
        if options["migrate"] or options["release"]:
            _run(url, release, role)
            self.stdout.write(f"The audit log's table is given back to {role}.")
        try:
            if options["migrate"]:
                call_command("migrate", interactive=False)
        finally:
            # A migration that failed must not leave the log open.
            if not options["release"]:
                self._protect(url, role)

    def _protect(self, url: str, role: str) -> None:
        _run(url, protect, role)
        why = _run(url, way_in, role)
        if why is not None:
            raise CommandError(f"The audit log's table is within reach of {role}, which {why}. Use a role that is not.")
        self.stdout.write(f"The audit log's table is out of reach of {role}.")


def _run(url: str, act: Callable[[Any, str], Said], role: str) -> Said:
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            return act(cursor, role)
    except psycopg.Error as error:
        raise CommandError(f"PostgreSQL refused: {error}") from error
