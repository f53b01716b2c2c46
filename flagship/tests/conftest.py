"""The running platform, started once for all tests of the `stack` group."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from flags.testing.cluster import free_port
from flagship.tests.stack import Stack, eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Fails in a second worker: the group of these tests is there to have one platform, and not one for each.
        (tmp_path_factory.getbasetemp().parent / "stack").touch(exist_ok=False)
    var_dir = tmp_path_factory.mktemp("run") / "var"
    port, stream_port = free_port(), free_port()
    log = (var_dir.parent / "run.log").open("w+")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    environment |= {"FLAGSHIP_VAR_DIR": str(var_dir), "POLL_SECONDS": "5", "REDIS_PREFIX": "flagship"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run", "--port", str(port), "--stream-port", str(stream_port)],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"manage.py run ended with {process.returncode}:\n{Path(log.name).read_text()[-4000:]}")
            try:
                return (
                    urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", timeout=30, retries=False).status == 200
                )
            except urllib3.exceptions.HTTPError:
                return False

        eventually(ready, seconds=300, what="a 200 on /readyz")
        demo = eventually(
            lambda: (var_dir / "demo.json").exists() and json.loads((var_dir / "demo.json").read_text()),
            what="var/demo.json",
        )
        yield Stack(var_dir, demo)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(120) == 0, Path(log.name).read_text()[-4000:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenFeature's npm packages, installed by the lock file into a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("ofrep") / "clients"
    shutil.copytree(Path(__file__).parent / "ofrep_clients", folder)
    # The registry is on the network, which may fail for a moment.
    patient = ["--fetch-retries=5", "--fetch-timeout=60000", "--prefer-offline"]
    command = ["npm", "ci", "--no-audit", "--no-fund", *patient]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    return folder
