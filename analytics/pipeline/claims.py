"""Claims in Redis: of two who claim the same key with different contents, the first has it for a while."""

from collections.abc import Mapping

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


def others(claims: Mapping[str, str], *, seconds: int) -> dict[str, str]:
    """Claim each key with its content; return the contents that other claims had before, by key.

    Without Redis nothing is claimed and nobody is refused: an outage must stop no work.
    """
    if not claims:
        return {}
    try:
        pipeline = get_redis_connection("default").pipeline(transaction=False)
        for key, content in claims.items():
            place = f"{settings.REDIS_PREFIX}:claim:{key}"
            pipeline.set(place, content, nx=True, ex=seconds)
            pipeline.get(place)
        held = pipeline.execute()[1::2]
    except RedisError as error:
        log.warning("claims_not_made", error=type(error).__name__)
        return {}
    return {
        key: owner.decode()
        for (key, content), owner in zip(claims.items(), held, strict=True)
        if owner is not None and owner.decode() != content
    }
