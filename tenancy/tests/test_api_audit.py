"""The audit log over HTTP: filters, export, who sees what; and the command that checks the chains."""

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.models import Entry
from tenancy.tests.test_api_organizations import problem


@pytest.fixture
def history(editor, make_flag):
    make_flag("a")
    make_flag("b")
    editor.patch("flags/a", {"version": 1, "description": "=cmd()"}, headers={"X-Request-ID": "req-7"})
    editor.post("flags/b/kill", {"reason": "on fire"})


def test_audit__works(viewer, history):
    body = viewer.get("audit").json()
    newest, change = body["results"][:2]

    assert body["count"] == Entry.objects.count()
    assert (newest["action"], newest["key"], newest["reason"]) == ("flag.killed", "b", "on fire")
    assert (change["actor"], change["requestId"], change["environment"]) == ("editor-of-acme", "req-7", "production")
    assert {"path": "description", "before": "", "after": "=cmd()"} in change["changes"]
    assert change["credential"].startswith("fs_manage_")


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"flagKey": "a"}, ["a", "a"]),
        ({"action": "flag.killed"}, ["b"]),
        ({"entity": "flag", "actor": "editor-of-acme"}, ["b", "a"]),
        ({"entity": "environment", "environment": "production"}, ["production"]),
        ({"entity": "flag", "until": "2020-01-01T00:00:00Z"}, []),
        ({"entity": "flag", "since": "2020-01-01T00:00:00+02:00"}, ["b", "a", "b", "a"]),
    ],
)
def test_audit__filters__narrow(viewer, history, query, keys):
    assert [row["key"] for row in viewer.get("audit", **query).json()["results"]] == keys


@pytest.mark.parametrize(
    "value", ["yesterday", "2020-01-01", "2020-01-01T00:00:00", "2020-13-45T00:00:00Z", "0001-01-01T00:00:00+23:59"]
)
def test_audit__no_instant__is_400_naming_the_field(viewer, value):
    assert problem(viewer.get("audit", since=value))[:2] == (400, "since")


def test_audit__outsider__sees_only_its_own(outsider, history):
    rows = outsider.get("audit").json()["results"]

    assert rows
    assert "acme" not in json.dumps(rows)
    assert not {"a", "b"} & {row["key"] for row in rows}


def test_audit__role_on_one_environment__sees_what_happened_there(history, staging, person, token, make_flag):
    organization = staging.project.organization
    caller = token(person("viewer", organization, "s", project=staging.project, environment=staging), organization)
    make_flag("c", where=staging)
    rows = caller.get("audit").json()["results"]

    assert {row["environment"] for row in rows} <= {"", "staging"}
    assert {row["key"] for row in rows if row["entity"] == "flag"} == {"c"}
    assert "organization" not in {row["entity"] for row in rows}


def test_audit_export__csv__keeps_formulas_text(viewer, history):
    response = viewer.get("audit/export", entity="flag")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))

    assert response.headers["Content-Type"] == "text/csv"
    assert [row["action"] for row in rows] == ["flag.created", "flag.created", "flag.updated", "flag.killed"]
    assert json.loads(rows[2]["after"])["description"] == "=cmd()"


def test_audit_export__json_lines__is_the_rows(viewer, history):
    response = viewer.get("audit/export", **{"entity": "flag", "as": "jsonl"})
    rows = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]

    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert rows == list(reversed(viewer.get("audit", entity="flag").json()["results"]))
    assert problem(viewer.get("audit/export", **{"as": "xml"})) == (400, "as", "invalid_choice")


def test_verify_audit__chains_hold__says_so(history, capsys):
    call_command("verify_audit")

    assert f"{Entry.objects.count()} rows hold" in capsys.readouterr().out


def test_verify_audit__row_altered__names_it_and_fails(history, capsys):
    victim = Entry.objects.get(action="flag.killed")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE audit_entry SET reason = 'drill' WHERE id = %s", [victim.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(CommandError, match="1 of 1 chains"):
        call_command("verify_audit")

    assert f"row {victim.pk} (position {victim.position}) is broken: its content was altered" in capsys.readouterr().err
