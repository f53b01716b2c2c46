"""The servers' addresses as settings: time-outs by default, and an address refused that would fail later.

A host that vanishes says nothing. Without these time-outs a process waits for it for a quarter of an hour.
"""

from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

# libpq's; a DATABASE_URL may give others after `?`. With several hosts the connection time counts for each.
CONNECTION_TIMEOUTS = {
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# The longest statement of a process, in seconds. The web process adds itself with STATEMENT_TIMEOUT_SECONDS
# (`limit_requests`). Commands and tasks have no limit.
STATEMENT_SECONDS: dict[str, float] = {"stream": 5, "grpc": 5, "ingest": 120}
REDIS_SCHEMES = ("redis", "rediss", "unix")


def database_of(url: str, *, keep_seconds: int) -> dict[str, Any]:
    """Django's settings of a database. Several hosts, separated by commas, are tried in turn."""
    found = dict(environ.Env.db_url_config(url))
    options = found.get("OPTIONS", {})
    if "," in unquote(found["HOST"]) and "target_session_attrs" not in options:
        raise ImproperlyConfigured(
            "DATABASE_URL names several hosts; end it with ?target_session_attrs=read-write, to pass standbys."
        )
    return {
        **found,
        # A socket directory is percent-encoded in a URL, and django-environ leaves it so.
        "HOST": unquote(found["HOST"]),
        "CONN_MAX_AGE": keep_seconds,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**CONNECTION_TIMEOUTS, **options},
    }


def statement_seconds_of(process_name: str) -> float:
    """The limit of a statement in this process; 0 is none."""
    return STATEMENT_SECONDS.get(process_name, 0)


def checked_redis_url(url: str) -> str:
    """The URL, if it names a single Redis server. Sentinel and Cluster are not supported, and fail only in use."""
    parts = urlsplit(url)
    remedy = "Give the address of one server, or of a proxy that follows the primary, as redis://host:6379/0."
    if parts.scheme not in REDIS_SCHEMES:
        raise ImproperlyConfigured(f"REDIS_URL begins with {parts.scheme or '?'}://, which is not supported. {remedy}")
    if "," in parts.netloc:
        raise ImproperlyConfigured(f"REDIS_URL names several hosts, which is not supported. {remedy}")
    return url


def checked_networks(name: str, texts: list[str]) -> list[str]:
    """The networks of a setting, each as in 10.0.0.0/8. The variable's name is in the refusal."""
    try:
        for text in texts:
            ip_network(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must name networks, as in 10.0.0.0/8: {error}.") from error
    return texts


def checked_bucket(name: str, url: str) -> str:
    """`s3://bucket` or `s3://bucket/prefix`, or nothing. Raises ImproperlyConfigured for anything else."""
    parts = urlsplit(url)
    is_bucket = parts.netloc and not set(parts.netloc) & set(":@")
    if url and (parts.scheme != "s3" or not is_bucket or parts.query or parts.fragment):
        # Without what it is: whoever puts credentials there would read them in a log.
        raise ImproperlyConfigured(f"{name} must be as s3://bucket/prefix, without a password. S3_ENDPOINT says where.")
    return url
