"""The files of the embedded services, and the URLs that follow from them while nothing runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

DATABASE_NAME = "flagship"
DATABASE_USER = "flagship"
POSTGRES_PORT = 5432  # This names the socket file only; nothing listens on TCP.
POSTGRES_SOCKET_NAME = f".s.PGSQL.{POSTGRES_PORT}"
REDIS_SOCKET_NAME = "redis.sock"
REDIS_DATABASES = 64

# sockaddr_un holds 107 bytes of path on Linux and 103 on macOS.
SOCKET_PATH_LIMIT_BYTES = 103
# Not tempfile.gettempdir(): TMPDIR differs between shells, and every process must arrive at the same URL.
SHORT_SOCKET_ROOT = Path("/tmp")  # noqa: S108 - the directory made in it is 0700 and its owner is checked


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one `var/`; build it with `Layout.of`."""

    var_dir: Path
    socket_dir: Path

    @classmethod
    def of(cls, var_dir: Path) -> Layout:
        resolved = var_dir.expanduser().resolve()
        sockets = resolved / "sockets"
        if len(bytes(sockets / POSTGRES_SOCKET_NAME)) > SOCKET_PATH_LIMIT_BYTES:
            digest = hashlib.sha256(bytes(resolved)).hexdigest()[:16]
            sockets = SHORT_SOCKET_ROOT / f"flagship-{digest}"
        return cls(var_dir=resolved, socket_dir=sockets)

    @property
    def postgres_data(self) -> Path:
        return self.var_dir / "postgres"

    @property
    def redis_data(self) -> Path:
        return self.var_dir / "redis"

    @property
    def postgres_log(self) -> Path:
        return self.var_dir / "log" / "postgres.log"

    @property
    def redis_log(self) -> Path:
        return self.var_dir / "log" / "redis.log"

    @property
    def keeper_log(self) -> Path:
        return self.var_dir / "log" / "keeper.log"

    @property
    def redis_socket(self) -> Path:
        return self.socket_dir / REDIS_SOCKET_NAME

    @property
    def session_lock(self) -> Path:
        """Every session shares this lock. A session that holds it exclusively is alone and may stop the servers."""
        return self.var_dir / "session.lock"

    @property
    def start_lock(self) -> Path:
        """The one process that checks the servers in order to start them holds this lock."""
        return self.var_dir / "start.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.var_dir / "keeper.lock"


def database_url(var_dir: Path, database: str = DATABASE_NAME) -> str:
    """Return a libpq URL. The host is the socket directory, percent-encoded, so a reader has to decode it."""
    host = quote(str(Layout.of(var_dir).socket_dir), safe="")
    return f"postgres://{DATABASE_USER}@{host}:{POSTGRES_PORT}/{database}"


def redis_url(var_dir: Path, database: int = 0) -> str:
    """Return the URL as redis-py, django-redis and channels_redis read it."""
    return f"unix://{quote(str(Layout.of(var_dir).redis_socket))}?db={database}"


def celery_broker_url(redis_url: str) -> str:
    """Return the URL as Celery writes it: `unix://` becomes `redis+socket://`. TCP URLs stay as they are."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?{urlencode({'virtual_host': database})}"
