"""What happens where a server vanishes, hangs or is another than expected: addresses, time-outs, pooler, figures."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, connections

from analytics.pipeline import figures
from flags.propagation import readiness
from flags.propagation.deadlines import broken_off_after
from flags.propagation.runtime import RUNTIME
from flagship import health
from flagship.servers.addresses import CONNECTION_TIMEOUTS, checked_redis_url, database_of, statement_seconds_of
from flagship.servers.database_sessions import settle


def test_database__of_several_hosts__is_for_libpq_with_all_time_outs_and_the_urls_own():
    made = database_of("postgres://u:p@a,b:5432/db?target_session_attrs=read-write&tcp_user_timeout=3", keep_seconds=9)

    assert (made["HOST"], made["PORT"], made["CONN_MAX_AGE"]) == ("a,b", 5432, 9)
    assert made["OPTIONS"] == {**CONNECTION_TIMEOUTS, "target_session_attrs": "read-write", "tcp_user_timeout": 3}
    assert database_of("postgres://u:p@a:1,b:2/db?target_session_attrs=any", keep_seconds=0)["PORT"] == "1,2"
    with pytest.raises(ImproperlyConfigured, match="target_session_attrs=read-write"):
        database_of("postgres://u:p@a,b/db", keep_seconds=0)


def test_database__first_of_two_hosts_is_gone__is_found_on_the_other(tmp_path):
    """As after a failover: the first host has no server, the second one has."""
    settings_of = connections["default"].settings_dict
    here = settings_of["HOST"]
    with psycopg.connect(
        host=f"{tmp_path},{here}",
        port=str(settings_of["PORT"] or 5432),
        user=settings_of["USER"],
        dbname="postgres",
        **{**CONNECTION_TIMEOUTS, "target_session_attrs": "read-write"},
    ) as found:
        assert found.info.host == here


@pytest.mark.parametrize(
    "url",
    ["sentinel://a:26379/mymaster", "redis+sentinel://a/0", "redis+cluster://a:6379", "redis://a:1,b:2/0", "a:6379"],
)
def test_redis__of_several_servers__is_refused_at_start_with_the_remedy(url):
    with pytest.raises(ImproperlyConfigured, match=r"REDIS_URL .* not supported.*one server"):
        checked_redis_url(url)
    refused = subprocess.run(
        [sys.executable, "-c", "import flagship.settings"],
        env={**os.environ, "REDIS_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "REDIS_URL" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("url", ["redis://:p@a:6379/0", "rediss://a/1", "unix:///tmp/a?db=1"])
def test_redis__of_one_server__is_taken(url):
    assert checked_redis_url(url) == url


@pytest.mark.django_db
def test_statement__longer_than_the_process_allows__is_ended_by_the_server(monkeypatch):
    assert [statement_seconds_of(name) for name in ("stream", "ingest", "worker")] == [5, 120, 0]
    monkeypatch.setattr("flagship.servers.database_sessions.statement_seconds_of", lambda _name: 0.05)

    def ask():
        try:
            with connection.cursor() as cursor, pytest.raises(DatabaseError, match="statement timeout"):
                cursor.execute("SELECT pg_sleep(20)")
            ended.append(True)
        finally:
            connection.close()

    ended = []
    asking = threading.Thread(target=ask)  # on a connection of its own
    asking.start()
    asking.join(60)
    assert ended == [True]


@pytest.mark.django_db
def test_pooler__answers_with_another_process_number__cursors_are_kept_within_transactions(monkeypatch):
    class Pooled:
        """A connection as PgBouncer hands it out: its process number is not the server's."""

        autocommit = False

        def execute(self, query, parameters):
            asked.append(parameters)
            return connection.connection.execute(query, parameters)

        class info:  # noqa: N801 - psycopg's name
            backend_pid = 1

    connection.ensure_connection()
    asked = []
    state: dict = {}
    behind = SimpleNamespace(vendor="postgresql", connection=Pooled(), settings_dict=state)

    settle(connection=behind)

    assert state["DISABLE_SERVER_SIDE_CURSORS"]
    assert asked[0][0] == 1
    assert not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")


def test_postgresql__stopped_and_not_gone__is_given_up_within_seconds(monkeypatch):
    """A server that is stopped takes in what it is asked and never answers, so no time-out of TCP helps."""
    settings_of = connections["default"].settings_dict
    about = {"host": settings_of["HOST"], "port": settings_of["PORT"] or 5432, "user": settings_of["USER"]}
    raw = psycopg.connect(**about, dbname="postgres", autocommit=True)
    monkeypatch.setattr("flags.propagation.deadlines.connections", {"default": SimpleNamespace(connection=raw)})

    def ask():
        with broken_off_after(0.3):
            raw.execute("SELECT pg_sleep(60)")

    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        ask()
    assert time.monotonic() - started < 30


def test_readyz__while_a_question_hangs__goes_by_the_age_of_the_last_answer(settings):
    settings.POLL_SECONDS = 1
    now = time.monotonic()
    RUNTIME.is_database_there = RUNTIME.is_redis_there = True
    RUNTIME.database_answered_at, RUNTIME.redis_answered_at = now - 164, now - 1

    _, body = readiness.report()

    assert body["dependencies"] == {"postgresql": "away", "redis": "ok"}
    assert body["answeredSecondsAgo"] == {"postgresql": pytest.approx(164, abs=5), "redis": pytest.approx(1, abs=5)}


def test_metrics__while_redis_hangs__are_answered_at_once(monkeypatch):
    monkeypatch.setattr("analytics.pipeline.stream_metrics.broker", lambda: pytest.fail("somebody was asked"))
    content, _ = health.metrics_text()
    assert b"flagship_snapshot_age_seconds" in content


def test_figures__of_several_processes__are_all_there_and_those_of_dead_ones_are_not(tmp_path):
    """Each process sets its own gauges, whichever answers the scrape; one that was killed leaves none behind."""
    script = (
        "import os, sys, time; from prometheus_client import Gauge; "
        "Gauge('flagship_snapshot_age_seconds', 'a', multiprocess_mode='livemax').set(float(sys.argv[1])); "
        "print('set', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    alive, dead = (
        subprocess.Popen([sys.executable, "-c", script, age], env=environment, stdout=subprocess.PIPE, text=True)
        for age in ("3", "700")
    )
    for one in (alive, dead):
        assert one.stdout.readline() == "set\n"

    def scraped():
        code = (
            "import django; django.setup(); from analytics.pipeline.figures import figures; print(figures().decode())"
        )
        return subprocess.run(
            [sys.executable, "-c", code], env={**environment, "DJANGO_SETTINGS_MODULE": "flagship.settings"},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    assert "flagship_snapshot_age_seconds 700.0" in scraped()
    dead.kill()
    dead.wait(60)
    assert "flagship_snapshot_age_seconds 3.0" in scraped()
    assert not list(Path(tmp_path).glob(f"gauge_live*_{dead.pid}.db"))
    alive.kill()
    alive.wait(60)
    for one in (alive, dead):
        one.stdout.close()


def test_figures__of_a_process_without_a_server__are_served_on_a_port_of_their_own(settings):
    import socket  # noqa: PLC0415 - this test alone
    import urllib.request  # noqa: PLC0415 - likewise

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.METRICS_PORT = free.getsockname()[1]
    server, thread = figures.serve_figures()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.METRICS_PORT}/metrics", timeout=30) as answer:
            assert b"flagship_events_ingested" in answer.read()
        assert figures.serve_figures() is None  # a port that is taken is said, and ends nothing
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    settings.METRICS_PORT = 0
    assert figures.serve_figures() is None
