"""A database that the migrations have made once, of which each worker of each run takes a copy."""

import fcntl
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from django.db import connections

from flagship.testing import ROOT

_PREFIX = "migrated_"


def template_database() -> str:
    """Its name. It is made where there is none of these migrations, packages and day: some make partitions by day."""
    connection = connections["default"]
    name = f"{_PREFIX}{_digest()}"
    # Workers and runs beside this one wait for whoever makes it.
    with (
        (Path(os.environ["FLAGSHIP_VAR_DIR"]) / "template.lock").open("w") as lock,
        connection._nodb_cursor() as cursor,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_PREFIX])
        there = {found for (found,) in cursor}
        if name not in there:
            for old in there:
                cursor.execute(f"DROP DATABASE {old}")
            _make(f"new_{name}")
            # Named only once it is whole.
            cursor.execute(f"ALTER DATABASE new_{name} RENAME TO {name}")
    return name


def _make(name: str) -> None:
    connection = connections["default"]
    used = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = name
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    connection.close()
    connection.settings_dict["NAME"] = used


def _digest() -> str:
    digest = hashlib.sha256(datetime.now(UTC).date().isoformat().encode())
    for path in sorted([*ROOT.glob("*/migrations/*.py"), *ROOT.glob("requirements*.txt")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
