"""The platform behind the real PgBouncer in transaction mode: changes, kills, reports and long exports are whole."""

import shutil
import subprocess
import threading
import urllib.request
from dataclasses import replace

import orjson
import psycopg
import pytest

from flags.testing.cluster import Cluster, free_port
from flags.testing.streams import eventually

pytestmark = [pytest.mark.processes, pytest.mark.pgbouncer]

CHANGES = 10


@pytest.fixture
def cluster(tmp_path, embedded_servers):
    folder = tmp_path / "var"
    with Cluster(embedded_servers, folder, flags=1, processes=()) as made:
        layout = embedded_servers.layout.Layout.of(folder)
        port = free_port()
        config = tmp_path / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={layout.socket_dir} port=5432 user={embedded_servers.layout.DATABASE_USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nserver_reset_query_always = 0\n"
        )
        config.chmod(0o644)
        # As PostgreSQL's account: PgBouncer refuses to be root.
        account = replace(
            embedded_servers.account.choose_account(layout.var_dir, layout.postgres_data), reach_everywhere=True
        )
        bouncer = subprocess.Popen(account.command([shutil.which("pgbouncer"), "-q", str(config)], cwd=tmp_path))
        name = embedded_servers.layout.DATABASE_NAME
        url = f"postgres://{embedded_servers.layout.DATABASE_USER}@127.0.0.1:{port}/{name}"
        try:
            eventually(lambda: _answers(url, bouncer), seconds=30)
            made.start("web", variables={"DATABASE_URL": url})
            yield made
        finally:
            bouncer.terminate()
            bouncer.wait(30)


def _answers(url, bouncer):
    assert bouncer.poll() is None
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_pooler__in_transaction_mode__serves_changes_kills_and_whole_exports(cluster):
    version = cluster.manage("GET", "flags/flag-0")[1]["version"]
    for number in range(CHANGES):
        status, body = cluster.manage("PATCH", "flags/flag-0", {"version": version + number, "metadata": {"n": number}})
        assert status == 200, body
    exports = []

    def export():
        headers = {"Authorization": f"Bearer {cluster.token}", "X-Tenant-ID": "acme"}
        address = f"http://127.0.0.1:{cluster.web_port}/api/audit/export?as=jsonl"
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            exports.append([orjson.loads(line) for line in answer.read().splitlines()])

    readers = [threading.Thread(target=export) for _ in range(8)]
    for reader in readers:
        reader.start()
    assert cluster.manage("POST", "flags/flag-0/kill", {"variant": "control", "reason": "tried"})[0] == 202
    eventually(lambda: cluster.evaluate("flag-0")[1]["reason"] == "KILL_SWITCH", seconds=30)
    for reader in readers:
        reader.join(60)
    assert len(exports) == len(readers)
    for entries in exports:
        assert sum(entry["action"] == "flag.updated" for entry in entries) == CHANGES
