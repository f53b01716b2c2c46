"""The runbook's commands do what it says: a backup and its restore, and commands that exist."""

import os
import re
import subprocess
from urllib.parse import quote

import psycopg
import pytest
from django.core.management import get_commands
from django.db import connections

from flagship.embedded.postgres import binaries
from flagship.tests.source_files import ROOT

RUNBOOK = (ROOT / "docs" / "operations" / "runbook.md").read_text()


def test_commands__of_manage_py__exist():
    named = set(re.findall(r"manage\.py (\w+)", RUNBOOK))
    assert named
    assert named <= set(get_commands())


@pytest.mark.django_db
def test_backup__restored_twice__brings_every_table_back_without_an_error(tmp_path):
    backup, restore = (
        re.sub(r"^  ", "", block, flags=re.M) for block in re.findall(r"```sh\n(.*?)  ```", RUNBOOK, re.S)
    )
    about = connections["default"].settings_dict
    server = f"postgres://{about['USER']}@{quote(about['HOST'], safe='')}:{about['PORT'] or 5432}"
    name = f"{about['NAME']}_restored"

    def run(command: str, database: str) -> None:
        environment = {
            **os.environ,
            "PATH": f"{binaries()}{os.pathsep}{os.environ['PATH']}",
            "DATABASE_URL": f"{server}/{database}",
        }
        done = subprocess.run(
            ["sh", "-ec", command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def tables(database: str) -> set[str]:
        with psycopg.connect(f"{server}/{database}") as connection:
            return {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            run(backup, about["NAME"])
            for _ in range(2):
                run(restore, name)
            assert tables(name) == tables(about["NAME"])
            assert "exposures" in tables(name)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
