"""How long PostgreSQL may work on one statement of a request: seconds for a page, more only where a report names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connection, connections

# A report over an experiment's events may take so long.
REPORT_SECONDS: Final = 60.0


def limit_statements() -> None:
    """Give each connection that this process opens the limit of requests. Called once, before the first connection."""
    options: dict[str, Any] = connections.settings["default"]["OPTIONS"]
    limit = f"-c statement_timeout={round(settings.STATEMENT_TIMEOUT_SECONDS * 1000)}"
    options["options"] = f"{options.get('options', '')} {limit}".strip()


@contextmanager
def long_statements(seconds: float = REPORT_SECONDS) -> Iterator[None]:
    """Within it a statement may take so long; after it the connection has its own limit again.

    Inside a transaction the longer limit stays until the transaction ends.
    """
    if "statement_timeout" not in connection.settings_dict["OPTIONS"].get("options", ""):
        yield
        return
    is_local = connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, %s)", [str(round(seconds * 1000)), is_local])
    try:
        yield
    finally:
        if not is_local and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("RESET statement_timeout")
