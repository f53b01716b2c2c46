"""What each new connection to PostgreSQL is set to: the longest statement, and what a pooler between allows."""

from typing import Any

import structlog
from django.conf import settings
from django.db.backends.signals import connection_created

from flagship.servers.addresses import STATEMENT_SECONDS, statement_seconds_of

log = structlog.get_logger(__name__)

# One round trip. A pooler answers the connection with a process number of its own; there a setting of the session
# would stay with a server connection that others use next.
_SET = """
SELECT pg_backend_pid(), CASE WHEN pg_backend_pid() = %s AND %s > 0
    THEN set_config('statement_timeout', %s::text, false) END
"""


def settle(connection: Any, **_more: Any) -> None:
    """Set a new connection up. Behind a pooler in transaction mode Django needs to know that cursors do not last."""
    if connection.vendor != "postgresql":
        return
    raw = connection.connection
    milliseconds = int(statement_seconds_of(settings.PROCESS_NAME) * 1000)
    pid = raw.info.backend_pid
    was_autocommit, raw.autocommit = raw.autocommit, True
    try:
        backend_pid = raw.execute(_SET, [pid, milliseconds, milliseconds]).fetchone()[0]
    finally:
        raw.autocommit = was_autocommit
    if backend_pid != pid and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        log.info("database_behind_pooler", remedy="statement time-outs belong into ALTER ROLE … SET statement_timeout")
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True


def limit_requests() -> None:
    """Give each connection that this process opens the limit of requests. Called once, before the first connection."""
    STATEMENT_SECONDS[settings.PROCESS_NAME] = settings.STATEMENT_TIMEOUT_SECONDS


def connect() -> None:
    connection_created.connect(settle, dispatch_uid="flagship.servers.database_sessions")
