"""Who owns the log's table: a role that nobody signs in as, so that the application cannot drop the triggers.

The application's role keeps what it needs: to read rows and to append them. A migration of the table needs the
ownership back for its time.
"""

from typing import Any, Final

from psycopg import sql

OWNER: Final = "flagship_audit"
_TABLE = sql.Identifier("audit_entry")
_SEQUENCE = sql.Identifier("audit_entry_id_seq")


_WAYS_IN: Final = """
SELECT rolsuper, pg_has_role(pg_roles.oid, nspowner, 'MEMBER'), pg_has_role(pg_roles.oid, relowner, 'MEMBER')
FROM pg_roles, pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE rolname = %s AND pg_class.oid = to_regclass('audit_entry')
"""


def protect(cursor: Any, role: str) -> None:
    """Take the table, if there is one, away from `role` but for reading and appending. Needs a superuser's cursor.

    See `way_in` for roles from which nothing can be taken.
    """
    if not _is_there(cursor):
        return
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER])
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(OWNER)))
    _give(cursor, OWNER)
    names = {"table": _TABLE, "sequence": _SEQUENCE, "role": sql.Identifier(role)}
    cursor.execute(sql.SQL("REVOKE ALL ON {table} FROM {role}").format(**names))
    cursor.execute(sql.SQL("GRANT SELECT, INSERT ON {table} TO {role}").format(**names))
    cursor.execute(sql.SQL("GRANT USAGE, SELECT ON SEQUENCE {sequence} TO {role}").format(**names))


def release(cursor: Any, role: str) -> None:
    """Give the table to `role`, for the time of a migration. Needs a superuser's cursor."""
    if _is_there(cursor):
        _give(cursor, role)


def way_in(cursor: Any, role: str) -> str | None:
    """Why `role` can open a protected table all the same; None where it cannot."""
    cursor.execute(_WAYS_IN, [role])
    is_superuser, owns_schema, owns_table = cursor.fetchone() or (False, False, False)
    if is_superuser:
        return "is a superuser"
    if owns_schema:
        return "owns the schema, and with it may drop the table"
    return "owns the table" if owns_table else None


def _is_there(cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass('audit_entry')")
    return cursor.fetchone()[0] is not None


def _give(cursor: Any, role: str) -> None:
    owner = sql.Identifier(role)
    cursor.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(_TABLE, owner))
    cursor.execute(sql.SQL("ALTER FUNCTION audit_refuse_rewrite() OWNER TO {}").format(owner))
