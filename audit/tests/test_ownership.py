"""The application's role in a deployment: it appends and reads, and can neither rewrite the log nor open it."""

from io import StringIO
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from audit.models import Entry
from audit.ownership import protect, release, way_in
from audit.tests.test_chain import record

pytestmark = pytest.mark.django_db
ROLE = "flagship_app_of_a_test"


@pytest.fixture
def cursor():
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER")
        cursor.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}")
        yield cursor
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER audit_append_only ON audit_entry",
        "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
        "DROP FUNCTION audit_refuse_rewrite() CASCADE",
        "CREATE OR REPLACE FUNCTION audit_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "UPDATE audit_entry SET reason = 'never'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "DROP TABLE audit_entry",
        "ALTER TABLE audit_entry ADD COLUMN x int",
    ],
)
def test_application__after_protect__cannot_open_the_log(cursor, statement):
    record()
    protect(cursor, ROLE)
    cursor.execute(f"SET LOCAL ROLE {ROLE}")

    with pytest.raises(DatabaseError), transaction.atomic():
        cursor.execute(statement)


def test_application__after_protect__appends_and_reads_and_may_migrate_once_released(cursor):
    protect(cursor, ROLE)
    protect(cursor, ROLE)
    cursor.execute(f"SET LOCAL ROLE {ROLE}")
    record(2)
    assert Entry.objects.count() == 2
    cursor.execute("RESET ROLE")

    release(cursor, ROLE)
    cursor.execute(f"SET LOCAL ROLE {ROLE}")
    cursor.execute("ALTER TABLE audit_entry ADD COLUMN x int")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT 1", None),
        (f"ALTER ROLE {ROLE} SUPERUSER", "is a superuser"),
        (f"ALTER SCHEMA public OWNER TO {ROLE}", "owns the schema, and with it may drop the table"),
        (f"GRANT flagship_audit TO {ROLE}", "owns the table"),
    ],
)
def test_way_in__of_a_role_that_opens_the_log_all_the_same__is_named(cursor, statement, why):
    protect(cursor, ROLE)
    cursor.execute(statement)

    assert way_in(cursor, ROLE) == why


def test_protect__no_table_yet__does_nothing(cursor):
    cursor.execute("ALTER TABLE audit_entry RENAME TO audit_entry_of_another_time")
    protect(cursor, ROLE)


@pytest.mark.django_db(transaction=True)
def test_protect_audit__migration_fails_and_the_role_is_a_superuser__is_protected_and_said(monkeypatch):
    about, owner = connection.settings_dict, f"flagship_audit_{uuid4().hex}"
    host, user = quote(about["HOST"], safe=""), about["USER"]
    monkeypatch.setenv(
        "DATABASE_ADMIN_URL",
        f"postgres://{user}:{quote(about['PASSWORD'])}@{host}:{about['PORT'] or 5432}/{about['NAME']}",
    )
    monkeypatch.setattr("audit.ownership.OWNER", owner)
    monkeypatch.setattr("audit.management.commands.protect_audit.call_command", _fail)
    with connection.cursor() as cursor:
        try:
            with pytest.raises(CommandError, match=r"within reach of .*, which is a superuser") as refused:
                call_command("protect_audit", migrate=True, stdout=StringIO())
            assert str(refused.value.__context__) == "the migration fails"
            cursor.execute("SELECT relowner::regrole::text FROM pg_class WHERE oid = 'audit_entry'::regclass")
            assert cursor.fetchone() == (owner,)
        finally:
            release(cursor, user)
            cursor.execute(f"GRANT ALL ON audit_entry, audit_entry_id_seq TO {user}")
            cursor.execute(f"DROP ROLE IF EXISTS {owner}")


def _fail(*_arguments, **_options):
    raise CommandError("the migration fails")
