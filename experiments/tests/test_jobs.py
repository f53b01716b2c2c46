"""Jobs by the clock: stored once, one at a time, acting as configured, as the system's acts."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from analytics.models import CohortPair
from audit.models import Entry
from experiments import services, tasks
from experiments.jobs import runs
from experiments.models import Alarm, Experiment, ExperimentResult, JobRun
from experiments.selectors import latest_results
from experiments.signals import experiment_alarmed
from experiments.tests.conftest import START
from flags.models import FlagConfig
from tenancy.testing import ALICE

DAY = timedelta(days=1)
NIGHT = START + 3 * DAY + timedelta(minutes=15)


@pytest.fixture
def alarms():
    heard = []

    def listen(*, kind, action, **_):
        heard.append((kind, action))

    experiment_alarmed.connect(listen)
    yield heard
    experiment_alarmed.disconnect(listen)


@pytest.fixture
def guarded(make_metric, make_experiment, start, expose):
    """An experiment whose treatment makes errors, with a guardrail that does what it is told."""

    def _guarded(action, **payload):
        make_metric("errors", eventName="error", goal="decrease")
        guardrail = {"metric": "errors", "marginPercent": 5, "action": action}
        experiment = start(make_experiment(guardrails=[guardrail], **payload), at=START)
        expose(
            experiment,
            {"control": 2000, "treatment": 2000},
            converted={"control": 100, "treatment": 300},
            event_name="error",
        )
        return experiment

    return _guarded


def test_nightly__keeps_the_sums_of_days_that_are_over(running, expose):
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 50, "treatment": 70})
    first = runs.store_nightly(running.pk, now=NIGHT)
    assert CohortPair.objects.filter(experiment=running.key).count() > 0

    expose(running, {"control": 20, "treatment": 20}, converted={"control": 2, "treatment": 3}, prefix="more")
    runs.store_nightly(running.pk, now=NIGHT)
    kept = latest_results(running)
    CohortPair.objects.all().delete()
    assert services.recompute(kept)
    assert first.startswith("stored")


def test_nightly__stores_results_as_of_midnight(running, expose):
    expose(running, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 70})
    outcome = runs.store_nightly(running.pk, now=NIGHT)

    row = latest_results(running)
    assert (row.since, row.until) == (START, START + 3 * DAY)
    assert row.payload["srm"]["observed"] == {"control": 500, "treatment": 500}
    assert row.payload["variants"][1]["conversions"] == 70
    assert (row.digest[:12] in outcome, row.code_version.startswith("analysis-")) == (True, True)
    assert row.config_versions == row.payload["configVersions"]
    run = JobRun.objects.get(job=runs.NIGHTLY)
    assert (run.outcome, run.experiment_id) == (outcome, running.pk)


def test_nightly__again__stores_nothing_twice(running, expose):
    expose(running, {"control": 50, "treatment": 50})
    for _ in range(2):
        runs.store_nightly(running.pk, now=NIGHT)
    runs.store_nightly(running.pk, now=NIGHT + timedelta(hours=5))

    assert ExperimentResult.objects.count() == 1


def test_nightly__computed_again_later__is_the_same_to_the_digit(running, expose, environment):
    expose(running, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 70})
    runs.store_nightly(running.pk, now=NIGHT)
    row = latest_results(running)
    services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, decision="stop")
    expose(running, {"control": 5}, at=NIGHT + DAY, prefix="later")

    assert services.recompute(row) is True
    expose(running, {"control": 1}, at=START + DAY, prefix="late arrival")
    assert services.recompute(row) is False


def test_nightly__each_night__is_a_row_of_the_series(running, expose):
    expose(running, {"control": 50, "treatment": 50})
    for night in range(3):
        runs.store_nightly(running.pk, now=NIGHT + night * DAY)

    assert [row.until for row in ExperimentResult.objects.order_by("until")] == [
        START + (3 + night) * DAY for night in range(3)
    ]


def test_nightly__started_after_midnight__stores_nothing(make_experiment, start):
    experiment = start(make_experiment())

    assert runs.store_nightly(experiment.pk).startswith("nothing yet")
    assert not ExperimentResult.objects.exists()


def test_nightly_ids__are_what_may_still_change(running, make_experiment, environment):
    make_experiment(name="Draft")
    assert runs.nightly_ids() == [running.key]
    Experiment.objects.filter(pk=running.pk).update(status="completed", decision="stop", ended_at=START + DAY)

    running.phases.update(ended_at=START + DAY)
    assert runs.nightly_ids() == [running.key]
    runs.store_nightly(running.pk, now=START + 10 * DAY)
    assert runs.nightly_ids() == []


@pytest.mark.django_db(transaction=True)
def test_job__while_another_process_is_at_it__is_busy(running):
    held, release = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            with connection.cursor() as cursor:
                key = [runs._LOCK_SPACE, running.pk.int % 2**31]
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", key)
            held.set()
            release.wait(120)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(90)
    try:
        assert runs.watch(running.pk) == runs.BUSY
    finally:
        release.set()
        other.join()
    assert runs.watch(running.pk) == "no new alarm"


def test_watch__harm_shown__pauses_as_the_systems_act(guarded, alarms):
    experiment = guarded("pause")
    assert runs.watch(experiment.pk, now=NIGHT) == "1 new alarms"

    assert Experiment.objects.get().status == "paused"
    assert alarms == [("guardrail", "pause")]
    entry = Entry.objects.get(action="experiment.paused")
    assert (entry.actor_kind, "errors" in entry.reason) == ("system", True)
    assert Entry.objects.get(action="experiment.alarmed").after["subject"] == "errors: treatment"


def test_watch__harm_shown_and_kill_chosen__gives_everybody_the_control(guarded):
    experiment = guarded("kill")
    runs.watch(experiment.pk, now=NIGHT)

    assert FlagConfig.objects.get().kill_switch_variant == "control"
    assert Experiment.objects.get().status == "paused"


def test_watch__harm_shown_and_warn_chosen__says_so_once(guarded, alarms):
    experiment = guarded("warn")
    for _ in range(3):
        runs.watch(experiment.pk, now=NIGHT)

    assert Experiment.objects.get().status == "running"
    assert alarms == [("guardrail", "warn")]
    assert Alarm.objects.count() == 1


@pytest.mark.parametrize(("auto_pause", "status"), [(True, "paused"), (False, "running")])
def test_watch__split_went_wrong__pauses_where_that_was_chosen(  # noqa: PLR0917 - fixtures and parameters
    make_experiment, start, expose, alarms, auto_pause, status
):
    experiment = start(make_experiment(autoPauseOnSrm=auto_pause), at=START)
    expose(experiment, {"control": 1000, "treatment": 600})
    runs.watch(experiment.pk, now=NIGHT)

    assert Experiment.objects.get().status == status
    assert alarms == [("srm", "pause" if auto_pause else "warn")]


def test_watch__healthy__does_nothing(running, expose, alarms):
    expose(running, {"control": 500, "treatment": 510}, converted={"control": 50, "treatment": 50})

    assert runs.watch(running.pk, now=NIGHT) == "no new alarm"
    assert alarms == []


def test_schedule__date_has_come__starts_and_later_pauses(make_experiment):
    experiment = make_experiment(startsAt=START, endsAt=START + DAY)
    assert runs.due_ids(START - DAY) == []
    assert runs.due_ids(START) == [experiment.key]

    assert runs.keep_schedule(experiment.pk, now=START) == "started"
    assert runs.keep_schedule(experiment.pk, now=START + timedelta(hours=1)) == "not due"
    assert runs.keep_schedule(experiment.pk, now=START + DAY) == "paused at its end"
    assert Experiment.objects.get().status == "paused"


def test_schedule__start_is_refused__says_why_and_stays_a_draft(make_experiment, flag):
    experiment = make_experiment(startsAt=START)
    FlagConfig.objects.update(is_enabled=False)

    assert "Switch it on first" in runs.keep_schedule(experiment.pk, now=START)
    assert Experiment.objects.get().status == "draft"


def test_tasks__clock__reaches_each_experiment(running, monkeypatch):
    Experiment.objects.update(breakdowns=["country"])
    sent = []
    for name in ("store_nightly_results", "store_breakdowns", "watch_experiment"):
        monkeypatch.setattr(getattr(tasks, name), "delay", lambda pk, name=name: sent.append((name, pk)))
    tasks.nightly()
    tasks.watch()

    assert sent == [(name, running.key) for name in ("store_nightly_results", "store_breakdowns", "watch_experiment")]
