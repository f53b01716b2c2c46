"""The JavaScript SDKs as built files, and the versions of Node that they are held to."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

SDK = Path(__file__).parents[1]
ROOT = SDK.parent
NODE_VERSIONS = (20, 22, 24)
_VAR = ROOT / "var"
# Which package of npm is which version, with its hash.
_PINS = Path(__file__).parent / "node_versions" / "package-lock.json"
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@cache
def build() -> None:
    """Install the packages and build what is out of date. Raises where that fails. Processes wait for one another."""
    with _alone():
        done = subprocess.run(
            ["make", "--no-print-directory", "sdk/node_modules/.built"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
    if done.returncode:
        raise RuntimeError(f"the JavaScript SDKs cannot be built: {done.stdout[-2000:]}{done.stderr[-4000:]}")


@cache
def node(version: int) -> Path:
    """The program of this major version: the machine's own, or else npm's, which is fetched once."""
    own = shutil.which("node")
    if own is not None and _version_of(own).startswith(f"v{version}."):
        return Path(own)
    pin = _pin(version)
    if pin is None:
        raise RuntimeError(f"npm has no Node {version} for this machine")
    path = _VAR / "node" / pin["version"] / "node"
    with _alone():
        if not path.exists():
            _fetch(pin, path)
    return path


def missing_versions() -> list[int]:
    """The versions that this machine neither has nor can be given."""
    if shutil.which("npm") is None:
        return list(NODE_VERSIONS)
    return [version for version in NODE_VERSIONS if _pin(version) is None]


def _pin(version: int) -> dict[str, Any] | None:
    name = f"node-{version}-{platform.system().lower()}-{_MACHINES.get(platform.machine().lower(), 'other')}"
    found: dict[str, Any] | None = json.loads(_PINS.read_text())["packages"].get(f"node_modules/{name}")
    return found


def _fetch(pin: dict[str, Any], path: Path) -> None:
    """Its program alone: the package's headers are thousands of files."""
    with tempfile.TemporaryDirectory() as folder:
        patient = ["--fetch-retries=5", "--fetch-timeout=60000", "--prefer-offline", "--loglevel=error"]
        command = ["npm", "pack", f"{pin['name']}@{pin['version']}", "--silent", *patient]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
        (package,) = Path(folder).glob("*.tgz")
        given = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if given != pin["integrity"]:
            raise RuntimeError(f"{package.name} is not what {_PINS.name} says: {given}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(package) as files:
            files.extract("package/bin/node", folder, filter="data")
        shutil.move(Path(folder) / "package" / "bin" / "node", path)


@cache
def _version_of(program: str) -> str:
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time."""
    lock = _VAR / "javascript.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
