"""A stream process with fewer file descriptors than clients: it refuses with 503, and says so once a minute."""

import http.client
import os
import subprocess
import sys
from contextlib import suppress

import pytest
from django.conf import settings

from flags.testing.cluster import free_port
from flags.testing.streams import eventually

pytestmark = pytest.mark.processes

SERVER = """
import django, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
django.setup()
from flags.streaming.server import serve
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await receive()
    await receive()
serve(application, host="127.0.0.1", port=int(sys.argv[1]))
"""


def test_stream__more_clients_than_descriptors__refuses_with_503_and_one_line(tmp_path):
    port = free_port()
    with (tmp_path / "stream.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "flagship.settings"},
            cwd=settings.BASE_DIR,
            stdout=log,
            stderr=log,
        )

    def opened():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/stream")
        # Of a response without an end the connection forgets its socket.
        ours = connection.sock
        with connection.getresponse() as response:
            return ours, response.status

    def first():
        with suppress(OSError):
            return opened()
        return None

    connections = [eventually(first)]
    try:
        connections += [opened() for _ in range(400)]
        statuses = [status for _, status in connections]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) > 100
        lines = (tmp_path / "stream.log").read_text().splitlines()
        assert len([line for line in lines if "connections_refused" in line]) == 1
        assert len([line for line in lines if "connections_bounded" in line]) == 1
        assert "Traceback" not in "".join(lines)
        for connection, _ in connections[:50]:
            connection.close()
        connections += [eventually(lambda: (found := opened()) and found[1] == 200 and found)]
    finally:
        for connection, _ in connections:
            connection.close()
        process.terminate()
        process.wait(60)
