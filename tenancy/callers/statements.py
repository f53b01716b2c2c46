"""A report may work longer on one statement than a page; flagship.servers.database_sessions sets the limit of pages."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from django.db import connection, transaction

# A report over an experiment's events may take so long.
REPORT_SECONDS: Final = 60.0
# A connection without a limit, or with a longer one, keeps it.
_LENGTHEN = """
SELECT set_config('statement_timeout', %s, true)
WHERE current_setting('statement_timeout')::interval BETWEEN '1 ms' AND make_interval(secs => %s)
"""


@contextmanager
def long_statements(seconds: float = REPORT_SECONDS) -> Iterator[None]:
    """Within it a statement may take so long. The limit belongs to the transaction, which it opens where there is none.

    So it holds behind a pooler too. Within somebody's transaction it stays until that one ends.
    """
    with nullcontext() if connection.in_atomic_block else transaction.atomic():
        with connection.wrap_database_errors:
            connection.connection.execute(_LENGTHEN, [str(round(seconds * 1000)), seconds])
        yield
