"""Whether this process can answer evaluations. The answer comes from memory and never waits for a server."""

from typing import Any

from django.conf import settings

from flags.propagation.runtime import RUNTIME


def report() -> tuple[int, dict[str, Any]]:
    """Status and body of `/readyz`: 200 once the configuration was loaded, even if a dependency is away now.

    The state of the dependencies is at most one poll old.
    """
    age = RUNTIME.age_seconds
    return (200 if RUNTIME.is_ready else 503), {
        "status": "ready" if RUNTIME.is_ready else "starting",
        "dependencies": {
            "postgresql": "ok" if RUNTIME.is_database_there else "away",
            "redis": "ok" if RUNTIME.is_redis_there else "away",
        },
        "snapshot": {
            "environments": len(RUNTIME.environments),
            "ageSeconds": round(age, 3) if RUNTIME.is_ready else None,
            "stale": RUNTIME.is_ready and age > settings.STALE_AFTER_SECONDS,
        },
    }
