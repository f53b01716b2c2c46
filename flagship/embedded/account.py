"""The account that the servers run as: our own, or an unprivileged one if we are root."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flagship.embedded.errors import EmbeddedError

LAUNCHER = Path(__file__).with_name("launch.py")
PROBE_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Account:
    """An account. With `reach_everywhere`, directory modes keep it from the files, so it gets CAP_DAC_OVERRIDE."""

    uid: int
    gid: int
    reach_everywhere: bool = False

    def command(self, argv: Sequence[str], *, cwd: Path, new_session: bool = False) -> list[str]:
        """Return the argv that runs `argv` as this account in `cwd`, through the launcher script."""
        options = ["--uid", str(self.uid), "--gid", str(self.gid), "--cwd", str(cwd)]
        if self.reach_everywhere:
            options.append("--reach-everywhere")
        if new_session:
            options.append("--new-session")
        # -I -S: a script that runs as root for a moment must read neither PYTHON* variables nor site-packages.
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *argv]


def server_environment() -> dict[str, str]:
    """Return a clean environment. A PGPORT or PGDATA of the caller's shell must not steer the embedded server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def private_directory(path: Path, account: Account) -> None:
    """Make `path` a 0700 directory of the account. Raises EmbeddedError with the reason if it cannot be one."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if not path.is_dir() or path.is_symlink():
            raise EmbeddedError(f"{path} is not a directory: move it away and start again.")
        if status.st_uid != account.uid:
            if os.geteuid() != 0 or (status.st_uid != 0 and any(path.iterdir())):
                raise EmbeddedError(
                    f"{path} belongs to uid {status.st_uid}, but the embedded services would run as uid {account.uid}. "
                    f"Run as its owner, remove the directory, or set FLAGSHIP_VAR_DIR to another one."
                )
            os.chown(path, account.uid, account.gid)
        if status.st_mode & 0o777 != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"Cannot prepare {path}: {error.strerror}. {unwritable_remedy(path)}") from error


def unwritable_remedy(path: Path) -> str:
    return (
        f"Make {path.parent} writable for uid {os.geteuid()} (and see that the disk is not full), "
        "or set FLAGSHIP_VAR_DIR to a directory that is."
    )


def choose_account(var_dir: Path, data_dir: Path) -> Account:
    """Return our account. For root it is the owner of the data, else `nobody`.

    So `sudo make run` works after `make run`.
    """
    uid = os.geteuid()
    if uid != 0:
        return Account(uid=uid, gid=os.getegid())
    for path in (data_dir, var_dir):
        if not path.exists():
            continue
        owner = path.stat().st_uid
        if owner != 0:
            try:
                entry = pwd.getpwuid(owner)
            except KeyError:
                continue  # initdb looks its user up by name, so a number without a name is of no use.
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and this system has no user 'nobody' to run it as: "
            "run as a plain user, or set DATABASE_URL and REDIS_URL to servers of your own."
        ) from error
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def with_reach(account: Account, binary: Path, data_dir: Path) -> Account:
    """Return the account, with CAP_DAC_OVERRIDE only if it cannot otherwise execute the binary or enter its data."""
    if os.geteuid() != 0 or _can_run(account, binary, data_dir)[0]:
        return account
    reaching = Account(uid=account.uid, gid=account.gid, reach_everywhere=True)
    succeeded, output = _can_run(reaching, binary, data_dir)
    if not succeeded:
        raise EmbeddedError(
            f"Running as root, and uid {account.uid}, which the embedded services have to run as, cannot use "
            f"{binary} in {data_dir}: {output}\nRun as a plain user, or move the clone to a directory that "
            "everybody can enter, or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return reaching


def _can_run(account: Account, binary: Path, cwd: Path) -> tuple[bool, str]:
    finished = subprocess.run(  # noqa: S603 - fixed program, no shell
        account.command([str(binary), "--version"], cwd=cwd),
        env=server_environment(),
        capture_output=True,
        text=True,
        timeout=PROBE_TIMEOUT_SECONDS,
        check=False,
    )
    return finished.returncode == 0, (finished.stderr or finished.stdout).strip()
