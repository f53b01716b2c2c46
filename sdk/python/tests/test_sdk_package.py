"""What is built of the package: its metadata pass twine, and a service that uses it passes mypy by the wheel alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import openflagship

PROJECT = Path(__file__).resolve().parents[1]
BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist'); build_meta.build_sdist('dist')"
SERVICE = """
from openflagship import Answer, AsyncFlagShip, Context, FlagShip, Options, Status, __version__
from openflagship.client import Hook, MemorySink
from openflagship.openfeature import FlagShipProvider

version: str = __version__
client = FlagShip("fs_server_…", "https://flags.example.com", flush_seconds=1.0, sink=MemorySink())
other = FlagShip("fs_server_…", "https://flags.example.com", Options(hooks=[Hook()]))
user = Context("user-1", {"plan": "pro"})
is_on: bool = client.is_enabled("new-checkout", user, default=True)
limit: float = client.number("limit", "user-1", 10)
answer: Answer = client.string_detail("theme", None, "dark")
status: Status = client.status()
provider = FlagShipProvider(client)
client.track("purchase", user, 9.5, {"currency": "EUR"})


async def run() -> None:
    async with AsyncFlagShip("fs_server_…", "https://flags.example.com", poll_seconds=5.0) as started:
        started.boolean("new-checkout", user, False)


# Wrong, both of them, and the only ones.
FlagShip("fs_server_…", "https://flags.example.com", flush_second=1.0)
client.boolean("new-checkout", user, "no")
"""


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


def test_package__built__passes_twine_and_gives_its_users_types(tmp_path: Path) -> None:
    # Of a copy: a build writes beside its source.
    source, dist, target = tmp_path / "source", tmp_path / "source" / "dist", tmp_path / "target"
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("tests", "build", "*.egg-info", "__pycache__"))
    addresses = {"HOMEPAGE": "https://flags.example.com", "SOURCE": "https://git.example.com/flagship"}
    built = run(["-c", BUILD], source, **{f"FLAGSHIP_PACKAGE_{name}": url for name, url in addresses.items()})
    assert built.returncode == 0, built.stderr
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    checked = run(["-m", "twine", "--no-color", "check", "--strict", str(wheel), str(sdist)], source)
    assert checked.stdout.count("PASSED") == 2, checked.stdout + checked.stderr
    with tarfile.open(sdist) as archive:
        assert {Path(name).name for name in archive.getnames()} >= {
            "README.md",
            "LICENSE",
            "pyproject.toml",
            "py.typed",
        }
    zipfile.ZipFile(wheel).extractall(target)
    (dist_info,) = target.glob("*.dist-info")
    assert dist_info.name == f"openflagship-{openflagship.__version__}.dist-info"
    said = [line for line in (dist_info / "METADATA").read_text().splitlines() if line.startswith("Project-URL: ")]
    assert said == [f"Project-URL: {name.title()}, {url}" for name, url in addresses.items()]

    (tmp_path / "service.py").write_text(SERVICE)
    look = "import openflagship; print(openflagship.__file__)"
    assert run(["-c", look], tmp_path, PYTHONPATH=str(target)).stdout.strip() == str(
        target / "openflagship/__init__.py"
    )
    command = ["-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", str(tmp_path / "cache")]
    typed = run([*command, "service.py"], tmp_path, PYTHONPATH=str(target))
    found = [line.split(": ")[0] for line in typed.stdout.splitlines() if ": error:" in line]
    last = len(SERVICE.splitlines())
    assert found == [f"service.py:{last - 1}", f"service.py:{last}"], typed.stdout + typed.stderr
