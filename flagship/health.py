"""Is the process alive, is it ready, and what does it measure."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from analytics.pipeline.figures import figures
from flags.prometheus import EVALUATIONS
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
    """The figures and their content type; the stream process answers with them without Django's views.

    It asks no server: each process sets its gauges by itself, and its poller those of the event stream.
    """
    EVALUATIONS.harvest()
    RUNTIME.check_staleness()
    return figures(), CONTENT_TYPE_LATEST
