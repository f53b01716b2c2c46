"""The text of /metrics, and a port for it in processes that serve nothing else: ingest, worker and beat."""

import os
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

import structlog
from django.conf import settings
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess, start_http_server

log = structlog.get_logger(__name__)


def registry() -> CollectorRegistry:
    """The figures of all processes that share PROMETHEUS_MULTIPROC_DIR, or of this one. Dead ones have no gauges."""
    if not settings.PROMETHEUS_MULTIPROC_DIR:
        return REGISTRY
    reap_dead(Path(settings.PROMETHEUS_MULTIPROC_DIR))
    found = CollectorRegistry()
    multiprocess.MultiProcessCollector(found)
    return found


def figures() -> bytes:
    return generate_latest(registry())


def reap_dead(folder: Path) -> None:
    """Remove the live gauges of processes that ended without a word; what they counted stays."""
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid, path=str(folder))
        except PermissionError:
            continue  # it lives, under another user


class _Live:
    """A registry that is made anew for each scrape."""

    def collect(self) -> object:
        return registry().collect()


def serve_figures() -> tuple[WSGIServer, Thread] | None:
    """Answer scrapes on METRICS_PORT from a thread; nothing where it is 0, as where a folder is shared with `web`."""
    if not settings.METRICS_PORT:
        return None
    try:
        served = start_http_server(settings.METRICS_PORT, registry=_Live())  # type: ignore[arg-type]  # it collects
    except OSError as error:
        # The process has work to do whether or not it can be measured.
        log.warning("figures_not_served", port=settings.METRICS_PORT, error=str(error))
        return None
    log.info("figures_served", port=settings.METRICS_PORT)
    return served
