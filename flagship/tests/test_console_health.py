"""Health in the console: each line of home leads to its explanation; what the clock did last, and what is amiss."""

import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from openflagship.ids import uuid7

import audit.services
from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from experiments import services as experiment_services
from experiments.jobs import runs
from experiments.models import Experiment, JobRun
from flags import services
from flags.propagation.acknowledgements import Report, record
from flags.propagation.runtime import RUNTIME
from flagship.console.health import health_page, timetable
from flagship.console.health.reach import reach_of
from tenancy.testing import ALICE


@pytest.fixture
def experiment(acme) -> Experiment:
    """One that has just started, so that no job of it is overdue."""
    environment = acme.production
    half = [{"variant": "treatment", "percent": 50}]
    flag = {"key": "new-checkout", "enabled": True, "rollout": half}
    services.create_flag(actor=ALICE, environment=environment, payload=flag)
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    design = {"name": "One page", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    made = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=design)
    started, _ = experiment_services.start_experiment(actor=ALICE, environment=environment, pk=made.pk)
    return started


def home(client, environment):
    return client.get(reverse("admin:index"), {"environment": environment.pk})


def note(experiment, job, outcome, *, ago=timedelta()):
    JobRun.objects.create(
        experiment=experiment, job=job, started_at=timezone.now() - ago, duration_ms=12, outcome=outcome
    )


def test_home__every_health_line__leads_to_its_explanation(console_viewer, acme):
    page = home(console_viewer, acme.production)

    explained = console_viewer.get(reverse("console_health"), follow=True)
    assert explained.status_code == 200
    assert len(page.context["health"]) == 11
    for line in page.context["health"]:
        path, _, anchor = line.url.partition("#")
        assert path == reverse("console_health")
        assert f'id="{anchor}"' in explained.text
        assert f'href="{line.url}"' in page.text


def test_health__outsider__sees_their_own_environment_only(console_outsider, acme, experiment):
    note(experiment, runs.WATCH, "failed: secret", ago=timedelta(minutes=1))

    page = console_outsider.get(reverse("console_health"), {"environment": acme.production.pk})

    assert page.status_code == 404
    assert "secret" not in page.text


def test_home__jobs__show_their_last_run_with_a_link(console_viewer, acme, experiment):
    note(experiment, runs.WATCH, "no new alarm", ago=timedelta(minutes=2))

    page = home(console_viewer, acme.production)

    (watch,) = [kind for kind in page.context["jobs"] if kind.job == runs.WATCH]
    assert (watch.outcome, watch.failed, watch.late, watch.tone) == ("no new alarm", 0, 0, "good")
    jobs = f"{reverse('admin:experiments_experiment_jobs')}?environment={acme.production.pk}"
    assert f'<a href="{jobs}">{runs.WATCH.capitalize()}</a>' in page.text
    assert "2 minutes ago" in page.text
    assert page.context["tasks"] == []


def test_home__failed_job__needs_attention(console_viewer, acme, experiment):
    note(experiment, runs.WATCH, "failed: RuntimeError: out of luck", ago=timedelta(minutes=2))

    (task,) = home(console_viewer, acme.production).context["tasks"]

    assert (task.text, task.why) == (f"One page: {runs.WATCH} failed", "failed: RuntimeError: out of luck")
    assert console_viewer.get(task.url).status_code == 200


def test_home__clock_has_stopped__is_one_task(console_viewer, acme, experiment):
    Experiment.objects.update(started_at=timezone.now() - timedelta(days=3))
    note(experiment, runs.WATCH, "no new alarm", ago=timedelta(days=2))

    tasks = home(console_viewer, acme.production).context["tasks"]

    assert [task.text for task in tasks] == ["2 jobs are overdue"]
    assert "look whether beat and worker are running" in tasks[0].why


def test_upkeep__from_beats_notes__says_last_next_and_late(acme):
    nightly = CrontabSchedule.objects.create(minute="5", hour="2")
    hour_ago, days_ago = timezone.now() - timedelta(hours=1), timezone.now() - timedelta(days=3)
    for task, at, count in (
        ("analytics.apply_retention", days_ago, 4),
        ("flags.purge_archived", hour_ago, 0),
    ):
        PeriodicTask.objects.create(name=task, task=task, crontab=nightly, last_run_at=at, total_run_count=count)

    found = {row.task: row for row in timetable.upkeep()}

    late, waiting, unknown = (
        found["analytics.apply_retention"],
        found["flags.purge_archived"],
        found["analytics.make_partitions"],
    )
    assert (late.last_at, late.is_late) == (days_ago, True)
    assert waiting.last_at is None
    assert waiting.next_at is not None
    assert (unknown.last_at, unknown.next_at, unknown.is_late) == (None, None, False)


def test_home__alarm__has_the_experiments_name_and_link(console_viewer, acme, experiment):
    audit.services.record(
        actor=ALICE,
        action="experiment.alarmed",
        at=acme.production,
        key=experiment.key,
        after={"kind": "srm", "subject": ""},
    )

    page = home(console_viewer, acme.production)

    change = page.context["changes"][0]
    url = reverse("admin:experiments_experiment_change", args=[experiment.pk])
    assert (change["entry"].action, change["name"], change["url"]) == ("experiment.alarmed", "One page", url)
    assert f'<a href="{url}">One page</a>' in page.text


def test_health__exposures_of_unknown_flags_and_variants__are_counted_by_name(console_viewer, acme, experiment):
    at = timezone.now()
    names = [("new-checkout", "control"), ("new-checkout", "third"), ("gone", "on"), ("gone", "off")]
    events = [
        ExposureEvent(
            *(uuid7(), acme.production.pk, flag, "alice", variant, "SPLIT", None, None, 1),
            *(int(at.timestamp() * 1000), int(at.timestamp() * 1000), "api"),
        )
        for flag, variant in names
    ]
    store_events(Batch(events, []))
    RUNTIME.refresh()

    page = console_viewer.get(reverse("console_health"), {"environment": acme.production.pk})
    (line,) = [line for line in page.context["lines"] if line.anchor == "unknown"]
    assert (line.value, line.note, line.tone) == ("3", "gone: 2, new-checkout = third: 1", "warn")


@pytest.mark.parametrize("view", ["admin:index", "console_health"])
def test_health__store_of_events_away__says_so_and_shows_the_rest(console_viewer, acme, monkeypatch, view):
    def away(*_):
        raise OperationalError("ClickHouse: connection refused")

    monkeypatch.setattr(health_page, "variants_seen", away)
    monkeypatch.setattr(health_page, "served_flags", lambda _: {"new-checkout": None})
    page = console_viewer.get(reverse(view), {"environment": acme.production.pk})
    (line,) = [
        line for line in page.context["health" if view == "admin:index" else "lines"] if line.anchor == "unknown"
    ]
    assert (page.status_code, line.value, line.note) == (200, "unknown", "The store of events is away")


def test_health__viewed_twice_in_a_minute__reads_the_names_once(console_viewer, acme, monkeypatch):
    asked = []
    monkeypatch.setattr(health_page, "variants_seen", lambda *_: asked.append(1) or [("gone", "on", 3)])
    monkeypatch.setattr(health_page, "served_flags", lambda _: {"new-checkout": None})
    lines = [health_page.lines(acme.production) for _ in range(2)]
    shown = [(line.value, line.note) for each in lines for line in each if line.anchor == "unknown"]
    assert (shown, asked) == ([("3", "gone: 3")] * 2, [1])


def test_reach__by_a_process_whose_clock_is_hours_off__counts_whom_redis_heard_lately(acme, monkeypatch):
    record(acme.production.pk, [Report("till-1", "python", 1, time.time_ns() // 1_000_000)])
    true_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_time() + 7_200_000_000_000)
    assert reach_of(acme.production).connected == 1
