"""A real S3-compatible server of the tests' own: SeaweedFS, which anybody may read, and the settings that name it."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
import urllib3
from obstore.exceptions import BaseError
from obstore.store import S3Store

from flags.testing.cluster import free_port
from flagship.tests.stack import eventually

# Its parts, each with a port for its calls among themselves.
_PARTS = ("master", "volume", "filer", "s3")
BUCKET = "exports"
_ID, _WORD = "flagship", uuid.uuid4().hex


class ObjectStorage:
    """`url` is the address of the server, `address` that of the test's own folder."""

    address = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = {part: free_port() for part in _PARTS}
        self.url = f"http://127.0.0.1:{ports['s3']}"
        identities = [
            {
                "name": "exports",
                "credentials": [{"accessKey": _ID, "secretKey": _WORD}],
                "actions": ["Admin", "Read", "Write", "List"],
            },
            {"name": "anonymous", "actions": ["Read"]},
        ]
        config = folder / "identities.json"
        config.write_text(json.dumps({"identities": identities}))
        addresses = [f"-{part}.port={port}" for part, port in ports.items()]
        addresses += [f"-{part}.port.grpc={free_port()}" for part in _PARTS]
        self._log = (folder / "log").open("wb")
        program = Path(sys.executable).with_name("weed")
        options = [
            "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-volume.max=100",
            "-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [program, "server", f"-dir={folder}", *options, *addresses],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )

    def wait(self) -> None:
        http = urllib3.PoolManager(retries=False, timeout=5)

        def answers() -> bool:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            try:
                return http.request("GET", f"{self.url}/").status < 500
            except urllib3.exceptions.HTTPError:
                return False

        eventually(answers, what="the object storage's first answer")
        store = S3Store(
            BUCKET,
            endpoint=self.url,
            access_key_id=_ID,
            secret_access_key=_WORD,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        # A bucket is made by a PUT of its address.
        address = obstore.sign(store, "PUT", "", timedelta(minutes=5))
        eventually(lambda: http.request("PUT", address).status == 200, what="a bucket")

        def takes() -> bool:
            try:
                obstore.put(store, "first", b"1")
            except BaseError:
                return False
            return True

        # Its parts find each other once all are there.
        eventually(takes, what="the object storage's first object")

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(60)
        self._log.close()


@pytest.fixture(scope="module")
def running_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    found = ObjectStorage(tmp_path_factory.mktemp("storage"))
    try:
        found.wait()
        yield found
    finally:
        found.close()


@pytest.fixture
def storage(running_storage: ObjectStorage, settings: Any) -> ObjectStorage:
    """The settings name it; each test has a folder of its own."""
    settings.S3_ENDPOINT = running_storage.url
    settings.S3_ACCESS_KEY_ID, settings.S3_SECRET_ACCESS_KEY = _ID, _WORD
    where = f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"
    settings.EVENTS_EXPORT_URL, settings.SNAPSHOTS_EXPORT_URL = f"{where}/events", f"{where}/snapshots"
    running_storage.address = f"{running_storage.url}{where.removeprefix('s3:/')}"
    return running_storage
