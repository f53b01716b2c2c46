"""Is the process alive, is it ready, and what does it measure."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

from analytics.pipeline.stream_metrics import observe_stream
from flags.prometheus import EVALUATIONS, SNAPSHOT_AGE_SECONDS, SNAPSHOT_VERSION
from flags.propagation import readiness
from flags.propagation.runtime import RUNTIME


def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; says nothing of what it depends on, so that a database outage restarts nobody."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> HttpResponse:
    """200 when evaluations can be answered; each dependency is named, and being without one is no reason for 503."""
    status, body = readiness.report()
    return JsonResponse(body, status=status)


def metrics(_request: HttpRequest) -> HttpResponse:
    """Prometheus text, summed over every process that shares PROMETHEUS_MULTIPROC_DIR."""
    content, content_type = metrics_text()
    return HttpResponse(content, content_type=content_type)


def metrics_text() -> tuple[bytes, str]:
    """The figures and their content type; the stream process answers with them without Django's views."""
    EVALUATIONS.harvest()
    SNAPSHOT_AGE_SECONDS.set(RUNTIME.age_seconds if RUNTIME.is_ready else -1)
    for environment_id, environment in RUNTIME.environments.items():
        SNAPSHOT_VERSION.labels(str(environment_id)).set(environment.version)
    observe_stream()
    registry = CollectorRegistry()
    if settings.PROMETHEUS_MULTIPROC_DIR:
        multiprocess.MultiProcessCollector(registry)
        content = generate_latest(registry)
    else:
        content = generate_latest()
    return content, CONTENT_TYPE_LATEST
