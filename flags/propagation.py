"""What travels on Redis pub/sub: each change with its document inline, so that whoever hears it asks nobody else."""

from typing import Any

import orjson
import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from flags.models import Change

log = structlog.get_logger(__name__)
CHANNEL = f"{settings.REDIS_PREFIX}:changes"


def publish_change(change: Change) -> None:
    publish(
        {
            "environment": change.environment_id,
            "version": change.version,
            "kind": change.kind,
            "entity": change.entity,
            "key": change.key,
            "document": change.document,
        }
    )


def publish_keyring() -> None:
    """Some credential changed: look again."""
    publish({"kind": "keyring"})


def publish(message: dict[str, Any]) -> None:
    """Send to every process. The change is committed already: without Redis the poll brings it, so this only logs."""
    try:
        get_redis_connection("default").publish(CHANNEL, orjson.dumps(message))
    except RedisError as error:
        log.warning("publish_failed", kind=message["kind"], error=type(error).__name__)
