"""The Celery application: nightly results, sample ratio checks, retention and other work off the request path."""

import os

from celery import Celery, signals
from django.conf import settings
from django.core.management import call_command

from flagship.servers.task_delivery import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

app = Celery("flagship")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# In a room of its app.
app.autodiscover_tasks(["tenancy.privacy"])
install(app)
app.Beat = app.subclass_with_self("flagship.servers.beat:Beat")


@signals.worker_init.connect
def _step_back(**_about: object) -> None:
    """A task may wait for a moment where an evaluation, which has a caller who waits, needs the same cores."""
    os.nice(settings.WORKER_NICENESS)


@signals.worker_init.connect
@signals.beat_init.connect
def _serve_figures(**_about: object) -> None:
    from analytics.pipeline.figures import serve_figures  # noqa: PLC0415 - once the settings are there

    serve_figures()


@app.task(name="flagship.export_events")
def export_events() -> int:
    """Export the events of each hour that is over to the object storage that the settings name."""
    from flagship.event_export import export_events_by_hour  # noqa: PLC0415 - once the apps are there

    return export_events_by_hour()


@app.task(name="flagship.clear_sessions")
def clear_sessions() -> None:
    """Delete sessions that have expired; nobody can use them any more."""
    call_command("clearsessions")
