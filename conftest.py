"""Fixtures for every app's tests; the servers behind them come from `flagship.testing`."""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.db import connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django_redis import get_redis_connection
from hypothesis import HealthCheck
from hypothesis import settings as generated

from flagship import embedded
from flagship.testing import RUN, WORKER
from flagship.tests.template_database import template_database

pytest_plugins = [
    "tenancy.testing",
    "tenancy.admin.testing",
    "integrations.testing",
    "analytics.testing",
    "flags.testing.factories",
    "flags.testing.streams",
    "flagship.tests.console_world",
    "flagship.tests.providers",
]

# No example is held to the clock of a busy machine. Under CI they are the same ones every time (hypothesis's own
# profile): what fails there fails here as well.
generated.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
generated.load_profile("ci" if os.environ.get("CI") == "true" else "here")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_blocker: Any) -> None:
    """Give each worker of each run a database of its own, so that two runs in one clone do not meet."""
    with django_db_blocker.unblock():
        template = template_database()
    connections["default"].settings_dict["TEST"] |= {"NAME": f"test_{RUN}_{WORKER}", "TEMPLATE": template}


# Every test finds them as the migrations leave them.
_KEPT_TABLES = frozenset({"auth_permission", "django_content_type"})
_FEW_ROWS = 2_000


@pytest.fixture(scope="session", autouse=True)
def _flush_is_quick_and_passes_the_append_only_triggers() -> Iterator[None]:
    """Let the emptying after a transactional test, and nothing else, past the triggers that refuse it.

    It deletes the rows of the few tables that have some: truncating all of them takes ten times as long, and so does
    making permissions anew.
    """
    plain = DatabaseOperations.sql_flush

    def sql_flush(self: DatabaseOperations, style: Any, tables: list[str], **options: Any) -> list[str]:
        tables = [name for name in tables if name not in _KEPT_TABLES]
        full = _tables_with_more_than(0, tables)
        if _tables_with_more_than(_FEW_ROWS, full):
            statements = plain(self, style, tables, **options)
        else:
            statements = [f"DELETE FROM {self.quote_name(name)}" for name in full]
        return ["SET LOCAL session_replication_role = replica", *statements] if statements else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_args, **_options: None)
        yield


def _tables_with_more_than(rows: int, tables: list[str]) -> list[str]:
    if not tables:
        return []
    connection = connections["default"]
    asked = (
        f"SELECT '{name}' WHERE EXISTS (SELECT FROM {connection.ops.quote_name(name)} OFFSET {rows})" for name in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor]


@pytest.fixture(autouse=True)
def _begins_as_a_new_process() -> None:
    """Forget whatever the process remembers of the tests before: see `tenancy.process_memory`."""
    from tenancy.process_memory import reset_all  # noqa: PLC0415 - once the apps are there

    reset_all()


@pytest.fixture(autouse=True)
def _exposures_stay_with_their_test(_begins_as_a_new_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what evaluations queue by no thread: it would reach Redis or ask the database in the midst of another test.

    A test about exposures on their way makes a buffer of its own.
    """
    from analytics.pipeline.exposure_buffer import EXPOSURES  # noqa: PLC0415 - once the apps are there

    monkeypatch.setattr(EXPOSURES, "_start", lambda: None)
    monkeypatch.setattr(EXPOSURES, "_capacity", 100_000)


@pytest.fixture(autouse=True)
def _clean_redis(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no key of a test behind for the next one."""
    yield
    if "django_db_setup" in request.fixturenames:
        connection = get_redis_connection("default")
        keys = list(connection.scan_iter(f"{settings.REDIS_PREFIX}:*", count=1000))
        if keys:
            connection.delete(*keys)


@pytest.fixture(scope="session")
def embedded_servers() -> ModuleType:
    """`flagship.embedded`, for tests that stop and start servers of their own; the apps below may not import it."""
    return embedded
