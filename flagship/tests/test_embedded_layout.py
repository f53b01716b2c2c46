"""The embedded servers' URLs: known without starting anything, and understood by every client that reads them."""

from pathlib import Path
from urllib.parse import unquote

import environ
import psycopg.conninfo
import pytest
from celery import Celery
from redis import Redis

from flagship import embedded
from flagship.embedded.layout import SOCKET_PATH_LIMIT_BYTES, Layout


def test_urls__asked_for__start_and_create_nothing(tmp_path):
    var_dir = tmp_path / "var"
    assert embedded.database_url(var_dir) == embedded.database_url(var_dir)
    assert embedded.redis_url(var_dir) == embedded.redis_url(var_dir)
    assert not var_dir.exists()


def test_database_url__path_with_a_space_and_capitals__read_alike_by_libpq_and_django_environ():
    url = embedded.database_url(Path("/Srv/my clone/var"))
    by_libpq = psycopg.conninfo.conninfo_to_dict(url)
    by_environ = environ.Env.db_url_config(url)
    assert by_libpq == {"host": "/Srv/my clone/var/sockets", "port": "5432", "user": "flagship", "dbname": "flagship"}
    assert unquote(by_environ["HOST"]) == by_libpq["host"]
    assert (by_environ["USER"], by_environ["NAME"], by_environ["PORT"]) == ("flagship", "flagship", 5432)


def test_redis_url__path_with_a_space__read_by_redis_py():
    pool = Redis.from_url(embedded.redis_url(Path("/srv/my clone/var"), database=3)).connection_pool
    assert pool.connection_kwargs["path"] == "/srv/my clone/var/sockets/redis.sock"
    assert pool.connection_kwargs["db"] == 3


def test_celery_broker_url__unix_socket__names_the_same_database():
    url = embedded.celery_broker_url(embedded.redis_url(Path("/srv/my clone/var"), database=3))
    backend = Celery(backend=url).backend
    assert url == "redis+socket:///srv/my%20clone/var/sockets/redis.sock?virtual_host=3"
    assert backend.connparams["path"] == "/srv/my clone/var/sockets/redis.sock"
    assert backend.connparams["db"] == 3


@pytest.mark.parametrize("url", ["redis://cache:6379/1", "rediss://user:secret@cache:6380/0"])
def test_celery_broker_url__tcp__passes_unchanged(url):
    assert embedded.celery_broker_url(url) == url


def test_layout__path_too_long_for_a_socket__falls_back_to_a_short_directory_of_its_own():
    long = Path("/srv") / ("x" * 120) / "var"
    other = Path("/srv") / ("y" * 120) / "var"
    socket_path = Layout.of(long).socket_dir / ".s.PGSQL.5432"
    assert len(bytes(socket_path)) <= SOCKET_PATH_LIMIT_BYTES
    assert Layout.of(long).socket_dir == Layout.of(long).socket_dir
    assert Layout.of(long).socket_dir != Layout.of(other).socket_dir


def test_layout__path_just_short_enough__keeps_the_sockets_under_var():
    room = SOCKET_PATH_LIMIT_BYTES - len("/srv//var/sockets/.s.PGSQL.5432")
    assert Layout.of(Path("/srv") / ("x" * room) / "var").socket_dir.name == "sockets"
    assert Layout.of(Path("/srv") / ("x" * (room + 1)) / "var").socket_dir.name != "sockets"


def test_layout__relative_and_absolute_name_of_one_directory__are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Layout.of(Path("var")) == Layout.of(tmp_path / "var")
