"""The application's role in a deployment: it appends and reads, and can neither rewrite the log nor open it."""

import pytest
from django.db import DatabaseError, connection, transaction

from audit.models import Entry
from audit.ownership import protect, release
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
