"""Is the process alive, is it ready, and what does it measure."""

from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from redis.exceptions import RedisError

from flags.metrics import SNAPSHOT_AGE_SECONDS, SNAPSHOT_VERSION
from flags.runtime import RUNTIME


def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; says nothing of what it depends on, so that a database outage restarts nobody."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> HttpResponse:
    """200 when evaluations can be answered; each dependency is named, and its being away alone is no reason for 503."""
    dependencies: dict[str, Any] = {"postgresql": _database(), "redis": _redis()}
    age = RUNTIME.age_seconds
    body = {
        "status": "ready" if RUNTIME.is_ready else "starting",
        "dependencies": dependencies,
        "snapshot": {
            "environments": len(RUNTIME.environments),
            "ageSeconds": round(age, 3) if RUNTIME.is_ready else None,
            "stale": RUNTIME.is_ready and age > settings.STALE_AFTER_SECONDS,
        },
    }
    return JsonResponse(body, status=200 if RUNTIME.is_ready else 503)


def metrics(_request: HttpRequest) -> HttpResponse:
    """Prometheus text, summed over every process that shares PROMETHEUS_MULTIPROC_DIR."""
    SNAPSHOT_AGE_SECONDS.set(RUNTIME.age_seconds if RUNTIME.is_ready else -1)
    for environment_id, environment in RUNTIME.environments.items():
        SNAPSHOT_VERSION.labels(str(environment_id)).set(environment.version)
    registry = CollectorRegistry()
    if settings.PROMETHEUS_MULTIPROC_DIR:
        multiprocess.MultiProcessCollector(registry)
        content = generate_latest(registry)
    else:
        content = generate_latest()
    return HttpResponse(content, content_type=CONTENT_TYPE_LATEST)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "away"
    return "ok"


def _redis() -> str:
    try:
        get_redis_connection("default").ping()
    except RedisError:
        return "away"
    return "ok"
