"""What the embedded servers find at their start: stale pids, lost sockets, foreign or damaged data, no usable var/."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from asgiref.sync import async_to_sync
from celery import Celery
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis import Redis

from flagship import embedded
from flagship.embedded import postgres, redis
from flagship.embedded.layout import Layout

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A var/ whose servers have run once and stopped properly."""
    var_dir = tmp_path_factory.mktemp("pristine") / "var"
    with embedded.session(var_dir, fsync=False):
        pass
    return var_dir


@pytest.fixture
def var_dir(pristine, tmp_path):
    # cp -a keeps the owner, which is nobody when the tests run as root.
    subprocess.run(["cp", "-a", str(pristine), str(tmp_path / "var")], check=True)
    return tmp_path / "var"


@pytest.fixture
def layout(var_dir):
    return Layout.of(var_dir)


def assert_serves(var_dir) -> None:
    with embedded.session(var_dir, fsync=False):
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with Redis.from_url(embedded.redis_url(var_dir)) as client:
            assert client.ping()


def refusal(var_dir) -> str:
    with pytest.raises(embedded.EmbeddedError) as caught, embedded.session(var_dir, fsync=False):
        pass
    assert (postgres.running_pid(Layout.of(var_dir)), redis.running_pid(Layout.of(var_dir))) == (None, None)
    return str(caught.value)


@pytest.mark.parametrize("pid", [os.getpid(), 4_000_000], ids=["recycled", "dead"])
def test_session__pid_files_of_a_dead_run__are_seen_through(var_dir, layout, pid):
    data = layout.postgres_data
    (data / "postmaster.pid").write_text(f"{pid}\n{data}\n1\n5432\n{layout.socket_dir}\n\n  1 1\nready\n")
    (layout.redis_data / "redis.pid").write_text(f"{pid}\n")
    assert_serves(var_dir)


def test_session__servers_killed_outright__recovers_what_was_committed(var_dir, layout):
    with embedded.session(var_dir):
        with psycopg.connect(embedded.database_url(var_dir)) as connection:
            connection.execute("CREATE TABLE survivor (id int)")
        os.kill(postgres.running_pid(layout), signal.SIGKILL)
        os.kill(redis.running_pid(layout), signal.SIGKILL)
    with embedded.session(var_dir), psycopg.connect(embedded.database_url(var_dir)) as connection:
        assert connection.execute("SELECT count(*) FROM survivor").fetchone() == (0,)


def test_session__sockets_deleted_under_running_servers__starts_them_again(var_dir, layout):
    with embedded.session(var_dir, fsync=False):
        for path in layout.socket_dir.iterdir():
            path.unlink()
        assert_serves(var_dir)


def test_session__interrupted_initdb__begins_again(var_dir, layout):
    layout.postgres_data.rename(layout.var_dir / "postgres.partial")
    assert_serves(var_dir)
    assert not (layout.var_dir / "postgres.partial").exists()


def test_session__data_of_another_major_version__names_both_and_the_remedy(var_dir, layout):
    (layout.postgres_data / "PG_VERSION").write_text("16\n")
    message = refusal(var_dir)
    assert str(layout.postgres_data) in message
    assert "PostgreSQL 16" in message
    assert "move the directory away" in message


def test_session__data_directory_incomplete__refuses_to_make_a_new_one_over_it(var_dir, layout):
    (layout.postgres_data / "PG_VERSION").unlink()
    assert "no PG_VERSION" in refusal(var_dir)


def test_session__damaged_database__shows_the_servers_own_words(var_dir, layout):
    (layout.postgres_data / "global" / "pg_control").unlink()
    message = refusal(var_dir)
    assert str(layout.postgres_log) in message
    assert "pg_control" in message


def test_session__damaged_append_only_file__shows_the_servers_own_words(var_dir, layout):
    (layout.redis_data / "appendonly.aof").write_bytes(b"not commands at all\r\n" * 3)
    message = refusal(var_dir)
    assert str(layout.redis_log) in message
    assert "Bad file format" in message


def test_session__var_cannot_be_made__names_the_path_and_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal(tmp_path / "file" / "var")
    assert str(tmp_path / "file" / "var") in message
    assert "FLAGSHIP_VAR_DIR" in message


@pytest.fixture
def plain_user():
    """Root may write everywhere, so a test about permissions puts it in the shoes of nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_session__var_read_only__names_the_path_and_the_remedy(plain_user):
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        var_dir = Path(parent) / "var"
        var_dir.mkdir(mode=0o500)
        message = refusal(var_dir)
    assert str(var_dir) in message
    assert "FLAGSHIP_VAR_DIR" in message


def test_session__socket_directory_is_a_link__refuses_it(var_dir, layout, tmp_path):
    shutil.rmtree(layout.socket_dir, ignore_errors=True)
    (tmp_path / "elsewhere").mkdir()
    layout.socket_dir.symlink_to(tmp_path / "elsewhere")
    try:
        assert "is not a directory" in refusal(var_dir)
    finally:
        layout.socket_dir.unlink()


async def exchange_over_channels(url: str) -> dict[str, str]:
    layer = RedisPubSubChannelLayer(hosts=[url])
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "greeting"})
    message = await layer.receive(channel)
    await layer.flush()
    return message


def test_redis__by_its_unix_url__serves_celery_and_channels(var_dir):
    with embedded.session(var_dir, fsync=False):
        url = embedded.redis_url(var_dir, database=5)
        celery = Celery(broker=embedded.celery_broker_url(url), set_as_current=False)
        with celery.connection_for_write() as connection, connection.SimpleQueue("errands") as queue:
            queue.put({"errand": 1})
            assert queue.get(timeout=90).payload == {"errand": 1}
        with Redis.from_url(url) as client:
            assert client.dbsize() > 0
        assert async_to_sync(exchange_over_channels)(url) == {"type": "greeting"}
