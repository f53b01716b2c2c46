"""The jobs' page and what it rests on: the last run of each, and when the clock hands it out again."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from audit.models import Entry
from experiments.jobs import runs
from experiments.jobs.timetable import job_states, next_run
from experiments.models import Experiment, JobRun
from experiments.tests.conftest import START


@pytest.fixture
def environment(acme):
    """The one that the console's people may see."""
    return acme.production


NOW = datetime(2026, 3, 5, 12, 34, 56, tzinfo=UTC)


def _note(experiment, job, at, outcome="no new alarm"):
    JobRun.objects.update_or_create(
        experiment=experiment, job=job, defaults={"started_at": at, "duration_ms": 1234, "outcome": outcome}
    )


def _state(environment, job, now=NOW):
    return next((state for state in job_states([environment], now=now) if state.job == job), None)


def test_next_run__of_each_job__is_the_clocks() -> None:
    assert next_run(runs.NIGHTLY, NOW) == datetime(2026, 3, 6, 0, 15, tzinfo=UTC)
    assert next_run(runs.WATCH, NOW) == NOW + timedelta(minutes=10)
    assert next_run(runs.SCHEDULE, NOW) == NOW + timedelta(minutes=1)


def test_states__running_experiment__is_watched_and_stored(running, environment):
    _note(running, runs.WATCH, NOW - timedelta(minutes=4))
    watched, nightly = _state(environment, runs.WATCH), _state(environment, runs.NIGHTLY)

    assert (watched.last.outcome, watched.next_at, watched.is_late) == (
        "no new alarm",
        NOW + timedelta(minutes=6),
        False,
    )
    assert (nightly.last, nightly.next_at, nightly.is_late) == (None, START + timedelta(minutes=15), True)
    assert (_state(environment, runs.SCHEDULE), _state(environment, runs.FREE)) == (None, None)


def test_states__clock_has_stopped__is_late(running, environment):
    _note(running, runs.WATCH, NOW - timedelta(minutes=16))

    assert _state(environment, runs.WATCH).is_late


def test_states__paused__keep_the_last_run_and_wait_for_none(running, environment):
    _note(running, runs.WATCH, NOW - timedelta(days=3))
    Experiment.objects.update(status="paused")
    state = _state(environment, runs.WATCH)

    assert (state.last.started_at, state.next_at, state.is_late) == (NOW - timedelta(days=3), None, False)


def test_states__draft_with_a_date__waits_for_it(make_experiment, environment):
    make_experiment(startsAt=NOW + timedelta(days=1))
    (state,) = job_states([environment], now=NOW)

    assert (state.job, state.next_at) == (runs.SCHEDULE, NOW + timedelta(days=1, minutes=1))


@pytest.mark.django_db(transaction=True)
def test_job__that_fails__is_noted_as_failed_and_goes_again(running, environment, monkeypatch):
    def fail(*_args, **_named):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "analyse", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                runs.watch(running.pk)
    # Of failures in a row the first is told.
    told = Entry.objects.get(action="job.failed")
    assert (told.entity_key, told.after["job"]) == (running.key, runs.WATCH)
    state = _state(environment, runs.WATCH)
    assert (state.last.outcome, state.is_failed) == ("failed: RuntimeError: out of luck", True)
    runs.watch(running.pk)
    assert not _state(environment, runs.WATCH).is_failed


def test_page__shows_runs_of_what_one_may_see(console_viewer, console_outsider, client, running):
    url = reverse("admin:experiments_experiment_jobs")
    _note(running, runs.WATCH, NOW)
    text = console_viewer.get(url).content.decode()

    assert all(words in text for words in ("2026-03-05 12:34:56", "1.2 s", "no new alarm", "overdue"))
    assert "No job has anything to do" in console_outsider.get(url).content.decode()
    assert client.get(url).status_code == 302
