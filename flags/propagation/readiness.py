"""Whether this process can answer evaluations. The answer comes from memory and never waits for a server."""

import time
from typing import Any

from django.conf import settings

from flags.propagation.deadlines import DATABASE_SECONDS
from flags.propagation.runtime import RUNTIME


def report() -> tuple[int, dict[str, Any]]:
    """Status and body of `/readyz`: 200 once the configuration was loaded, even if a dependency is away now.

    A dependency is ok while its last answer is younger than two polls and the longest that a question may take.
    """
    age, now = RUNTIME.age_seconds, time.monotonic()
    answered = {"postgresql": RUNTIME.database_answered_at, "redis": RUNTIME.redis_answered_at}
    is_there = {"postgresql": RUNTIME.is_database_there, "redis": RUNTIME.is_redis_there}
    limit = 2 * settings.POLL_SECONDS + DATABASE_SECONDS
    since = {name: None if at is None else round(now - at, 3) for name, at in answered.items()}
    return (200 if RUNTIME.is_ready else 503), {
        "status": "ready" if RUNTIME.is_ready else "starting",
        "dependencies": {
            name: "ok" if is_there[name] and seconds is not None and seconds <= limit else "away"
            for name, seconds in since.items()
        },
        "answeredSecondsAgo": since,
        "snapshot": {
            "environments": len(RUNTIME.environments),
            "ageSeconds": round(age, 3) if RUNTIME.is_ready else None,
            "stale": RUNTIME.is_ready and age > settings.STALE_AFTER_SECONDS,
        },
    }
