"""Migrations run while the release before them serves, and can be taken back."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from psycopg import sql

from flagship import embedded
from flagship.tests.migration_rules import irreversible, problems
from flagship.tests.source_files import ROOT

OURS = {config.label for config in apps.get_app_configs() if Path(config.path).parent == ROOT}


# Columns, indexes, constraints and triggers of every table.
SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' UNION ALL
SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'public' UNION ALL
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL FROM pg_constraint
WHERE connamespace = 'public'::regnamespace UNION ALL
SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), NULL, NULL FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2, 3
"""
THERE_AND_BACK = f"""
import json, os, sys
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")
django.setup()
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

def show():
    with connection.cursor() as cursor:
        cursor.execute('''{SHAPE}''')
        print(json.dumps(cursor.fetchall()))

def migrate(targets):
    executor = MigrationExecutor(connection)
    executor.migrate(targets(executor.loader.graph))

migrate(lambda graph: graph.leaf_nodes())
show()
migrate(lambda graph: [(app, None) for app in sys.argv[1:]])
migrate(lambda graph: graph.leaf_nodes())
show()
"""


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


def test_migrations__on_a_system_that_serves__take_no_lock_unexplained(loader):
    assert {"audit", "tenancy", "integrations", "analytics", "flags", "experiments", "rollouts", "approvals"} <= OURS
    found = []
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS:
            before = loader.project_state((app, name), at_end=False)
            found += [f"{app}/{name}: {problem.what} {problem.why}" for problem in problems(migration, before)]
    assert found == [], "\n".join(found)


def test_migrations__every_operation__can_be_reversed(loader):
    found = [
        f"{app}/{name}: {what}"
        for (app, name), migration in sorted(loader.disk_migrations.items())
        if app in OURS
        for what in irreversible(migration)
    ]
    assert found == [], "\n".join(found)


def test_migrations__all_back_and_forth__end_where_they_began():
    """On a database of its own; a reverse that is there and does not work is worse than none."""
    name = f"there_and_back_{os.getpid()}"
    address = urlsplit(embedded.database_url(Path(os.environ["FLAGSHIP_VAR_DIR"])))
    environment = {**os.environ, "DATABASE_URL": urlunsplit(address._replace(path=f"/{name}"))}

    with psycopg.connect(urlunsplit(address), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            command = [sys.executable, "-c", THERE_AND_BACK, *sorted(OURS)]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            there, back = done.stdout.splitlines()
            assert there == back
            assert "exposures" in there
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _state() -> ProjectState:
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("size", models.IntegerField(null=True)),
    ]
    state = ProjectState()
    state.add_model(ModelState("shop", "Item", fields))
    return state


def _migration(*operations, **explained) -> migrations.Migration:
    migration = migrations.Migration("0002_next", "shop")
    migration.operations = list(operations)
    if explained:
        migration.safe_because = explained["safe_because"]
    return migration


INDEX = models.Index(fields=["name"], name="by_name")
TAKES_A_LOCK = {
    "index": migrations.AddIndex("item", INDEX),
    "check": migrations.AddConstraint("item", models.CheckConstraint(condition=models.Q(size__gt=0), name="some")),
    "unique": migrations.AddConstraint("item", models.UniqueConstraint(fields=["name"], name="once")),
    "not null": migrations.AddField("item", "color", models.CharField(max_length=9)),
    "foreign key": migrations.AddField("item", "box", models.ForeignKey("shop.Item", models.CASCADE, null=True)),
    "type": migrations.AlterField("item", "size", models.BigIntegerField(null=True)),
    "shorter": migrations.AlterField("item", "name", models.CharField(max_length=20)),
    "made not null": migrations.AlterField("item", "size", models.IntegerField(default=0)),
    "indexed": migrations.AlterField("item", "name", models.CharField(max_length=50, db_index=True)),
    "column gone": migrations.RemoveField("item", "size"),
    "column renamed": migrations.RenameField("item", "size", "weight"),
    "table gone": migrations.DeleteModel("Item"),
    "table renamed": migrations.RenameModel("Item", "Thing"),
    "sql index": migrations.RunSQL("CREATE INDEX by_size ON shop_item (size)", ""),
    "sql type": migrations.RunSQL("ALTER TABLE shop_item ALTER COLUMN size TYPE bigint", ""),
    "sql not null": migrations.RunSQL("ALTER TABLE shop_item ALTER size SET NOT NULL", ""),
    "sql column": migrations.RunSQL("ALTER TABLE shop_item ADD COLUMN age int NOT NULL", ""),
    "sql check": migrations.RunSQL("SELECT 1; ALTER TABLE shop_item ADD CONSTRAINT some CHECK (size > 0)", ""),
    "sql in a list": migrations.RunSQL([("ALTER TABLE shop_item ADD UNIQUE (name)", None)], ""),
    "sql lock": migrations.RunSQL("LOCK TABLE shop_item", ""),
    "sql drop": migrations.RunSQL("DROP TABLE shop_item", ""),
    "split": migrations.SeparateDatabaseAndState([migrations.RunSQL("VACUUM FULL shop_item", "")]),
}
TAKES_NONE = {
    "concurrently": AddIndexConcurrently("item", INDEX),
    "not valid": AddConstraintNotValid("item", models.CheckConstraint(condition=models.Q(size__gt=0), name="some")),
    "with a default": migrations.AddField("item", "color", models.CharField(max_length=9, default="")),
    "nullable": migrations.AddField("item", "color", models.CharField(max_length=9, null=True)),
    "longer": migrations.AlterField("item", "name", models.CharField(max_length=99)),
    "text": migrations.AlterField("item", "name", models.TextField()),
    "nullable later": migrations.AlterField("item", "name", models.CharField(max_length=50, null=True)),
    "sql concurrently": migrations.RunSQL("CREATE INDEX CONCURRENTLY by_size ON shop_item (size)", ""),
    "sql default": migrations.RunSQL("ALTER TABLE shop_item ADD COLUMN age int NOT NULL DEFAULT 0", ""),
    "sql new table": migrations.RunSQL("CREATE TABLE new (id int); CREATE INDEX of_new ON new (id)", ""),
    "sql function": migrations.RunSQL("CREATE FUNCTION f() AS $$ BEGIN DROP TABLE shop_item; END $$", ""),
}


@pytest.mark.parametrize("operation", TAKES_A_LOCK.values(), ids=TAKES_A_LOCK)
def test_rules__operation_that_locks_or_breaks__is_named(operation):
    found = problems(_migration(operation), _state())
    assert len(found) == 1
    reason = {found[0].what: "An empty table until the next release."}
    assert problems(_migration(operation, safe_because=reason), _state()) == []


@pytest.mark.parametrize("operation", TAKES_NONE.values(), ids=TAKES_NONE)
def test_rules__operation_that_does_not__passes(operation):
    assert problems(_migration(operation), _state()) == []


def test_rules__table_made_in_the_same_migration__may_be_changed_at_will():
    made = migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))])
    indexed = migrations.AddIndex("new", models.Index(fields=["id"], name="by_id"))
    assert problems(_migration(made, indexed), _state()) == []


def test_rules__explanation_of_nothing_or_too_short__is_named():
    index = migrations.AddIndex("item", INDEX)
    assert problems(_migration(safe_because={"AddIndex gone": "It was a small table."}), _state())
    assert problems(_migration(index, safe_because={"AddIndex by_name": "ok"}), _state())


def test_rules__no_way_back__is_named():
    way = migrations.RunSQL("SELECT 1", migrations.RunSQL.noop)
    assert irreversible(_migration(way)) == []
    assert len(irreversible(_migration(migrations.RunSQL("SELECT 1"), migrations.RunPython(print)))) == 2
