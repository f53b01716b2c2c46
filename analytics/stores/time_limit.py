"""A time limit on what is read for one answer: no query outlives whoever waits for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.errors import QueryCanceled
from psycopg.pq import TransactionStatus

from tenancy.errors import Unavailable

_RETRY_AFTER_SECONDS = 60
# What ClickHouse says when it has stopped a query.
_STOPPED = "TIMEOUT_EXCEEDED"

_until: ContextVar[float | None] = ContextVar("_until", default=None)
# The limit of the transaction around, before its first query was limited.
_own: ContextVar[str | None] = ContextVar("_own", default=None)


@contextmanager
def answer_within(seconds: float, *, what: str) -> Iterator[None]:
    """Stop any query of this thread that is still running after so long. Raises Unavailable, which names `what`.

    Both stores keep to it: PostgreSQL by a statement timeout, ClickHouse by its own limit.
    """
    if _until.get() is not None:  # the outer limit is the one that somebody waits for
        yield
        return
    token, own = _until.set(time.monotonic() + seconds), _own.set(None)
    try:
        with connection.execute_wrapper(_limited):
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled) or _STOPPED in str(error):
            raise Unavailable(
                f"{what} took longer than {seconds:g} s, and the query was stopped. Try again later, or over a shorter "
                "time; what is worked out every night is ready at once.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            ) from error
        raise
    finally:
        _until.reset(token)
        _lift()
        _own.reset(own)


def seconds_left() -> float | None:
    """The time that is left, never 0; None without a limit."""
    until = _until.get()
    return None if until is None else max(0.001, until - time.monotonic())


def _limited(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    left = seconds_left()
    # In a failed transaction PostgreSQL takes nothing but the way back to a savepoint.
    if left is None or connection.connection.info.transaction_status == TransactionStatus.INERROR:
        return execute(sql, params, many, context)
    if not connection.in_atomic_block:
        # A setting of the session would stay with a pooler's connection, which others use next.
        with transaction.atomic():
            _set(str(max(1, int(left * 1000))))
            return execute(sql, params, many, context)
    if _own.get() is None:
        _own.set(_raw("SELECT current_setting('statement_timeout')"))
    _set(str(max(1, int(left * 1000))))
    return execute(sql, params, many, context)


def _set(limit: str) -> None:
    """Limit the statements of this transaction."""
    _raw("SELECT set_config('statement_timeout', %s, true)", limit)


def _raw(statement: str, *values: Any) -> str:
    # Past Django's cursor, which would come by here again.
    with connection.wrap_database_errors:
        return str(connection.connection.execute(statement, values).fetchone()[0])


def _lift() -> None:
    own = _own.get()
    if own is None or not connection.in_atomic_block or connection.needs_rollback or connection.connection is None:
        return
    if connection.connection.info.transaction_status == TransactionStatus.INERROR:
        return  # what follows is a rollback, which takes the limit back
    try:
        _set(own)
    except DatabaseError:
        # The next request must not inherit the limit.
        connection.close()
