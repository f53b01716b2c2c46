"""One process's configuration: steps in order, steps ahead, kills before all else, staleness."""

import time
from dataclasses import replace

import orjson
import pytest
from django.db import OperationalError
from openflagship.engine import Context

from flags import services
from flags.models import Change
from flags.propagation.runtime import Runtime
from flags.versions import loading
from flags.versions.loading import load_document
from flags.versions.steps import Step
from tenancy.testing import ALICE

USER = Context("user-1", {})


@pytest.fixture
def steps(environment, make_flag):
    """Version 1 makes flag a, 2 makes b, 3 turns a's description, 4 kills a, 5 releases it."""
    make_flag("a", rollout=[{"variant": "treatment", "percent": 100}])
    make_flag("b")
    services.update_flag(actor=ALICE, environment=environment, key="a", payload={"enabled": False}, version=1)
    services.kill_flag(actor=ALICE, environment=environment, key="a", variant="treatment")
    services.release_flag(actor=ALICE, environment=environment, key="a")
    return {step.version: step for step in loading.steps_since(environment.pk, 0)}


@pytest.fixture
def runtime_at(environment, steps):
    def _runtime(version):
        runtime = Runtime()
        runtime._take(
            environment.pk, loading.CompiledEnvironment.from_document(load_document(environment.pk, version=version))
        )
        return runtime

    return _runtime


def test_step__as_a_message__comes_back_equal(steps):
    assert [Step.of_message(orjson.loads(step.message())) for step in steps.values()] == list(steps.values())


def test_apply__the_next_step__is_served(runtime_at, environment, steps):
    runtime = runtime_at(2)

    assert runtime.apply(steps[3])

    assert runtime.environments[environment.pk].version == 3
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "DISABLED"


def test_apply__heard_twice__changes_nothing(runtime_at, environment, steps):
    runtime = runtime_at(3)
    before = runtime.environments[environment.pk]

    assert runtime.apply(steps[3])
    assert runtime.apply(steps[2])

    assert runtime.environments[environment.pk] is before


def test_apply__a_step_is_missing__says_so_and_waits(runtime_at, environment, steps):
    runtime = runtime_at(1)

    assert not runtime.apply(steps[3])

    assert runtime.environments[environment.pk].version == 1
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "ROLLOUT"


def test_apply__a_kill_ahead_of_missing_steps__is_obeyed_at_once_and_all_along(runtime_at, environment, steps):
    runtime = runtime_at(1)
    seen = []
    runtime.observe(
        lambda pk, _steps, is_ahead: seen.append(
            (runtime.environments[pk].version, runtime.environments[pk].evaluate("a", USER).reason, is_ahead)
        )
    )

    assert not runtime.apply(steps[4])
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "KILL_SWITCH"
    # Step 3 carries the flag as it was before the kill: whoever obeys must not fall back to it for an instant.
    for version in (2, 3, 4):
        assert runtime.apply(steps[version])
    assert seen == [
        (1, "KILL_SWITCH", True),
        (2, "KILL_SWITCH", False),
        (3, "KILL_SWITCH", False),
        (4, "KILL_SWITCH", False),
    ]

    assert runtime.apply(steps[5])
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "DISABLED"
    assert runtime._kills_ahead == {}


def test_apply__a_release_ahead_of_its_kill__is_obeyed(runtime_at, environment, steps):
    runtime = runtime_at(1)

    runtime.apply(steps[5])
    runtime.apply(steps[4])

    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "DISABLED"


def test_apply_each__consecutive_steps__are_announced_together_and_each_kill_reported(
    runtime_at, environment, steps, monkeypatch
):
    runtime, announced, reported = runtime_at(1), [], []
    runtime.observe(lambda pk, found, is_ahead: announced.append((pk, [step.version for step in found], is_ahead)))
    monkeypatch.setattr(runtime, "_report", lambda step: reported.append(step.version))

    assert runtime.apply_each([steps[1], steps[2], steps[3], steps[4], steps[5]])

    assert announced == [(environment.pk, [2, 3, 4, 5], False)]
    assert reported == [4, 5]
    assert runtime.environments[environment.pk].document() == load_document(environment.pk)


def test_apply_each__a_kill_behind_a_gap__is_obeyed_with_what_comes_before_the_gap(runtime_at, environment, steps):
    runtime, announced = runtime_at(1), []
    runtime.observe(lambda _pk, found, is_ahead: announced.append(([step.version for step in found], is_ahead)))

    assert not runtime.apply_each([steps[2], steps[4]])

    assert announced == [([2], False), ([4], True)]
    assert runtime.environments[environment.pk].version == 2
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "KILL_SWITCH"


def test_apply_each__a_kill_that_came_twice_and_once_too_early__is_no_kill_ahead(runtime_at, environment, steps):
    runtime = runtime_at(3)

    assert runtime.apply_each([steps[5], steps[4], steps[5]])

    assert runtime._kills_ahead == {}
    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "DISABLED"


def test_apply_each__steps_of_two_environments__a_gap_in_one_leaves_the_other(runtime_at, environment, steps):
    runtime = runtime_at(1)
    elsewhere = replace(steps[2], environment_id=environment.pk + 1)

    assert not runtime.apply_each([elsewhere, steps[2]])

    assert runtime.environments[environment.pk].version == 2


def test_listener__a_step_that_nobody_can_apply__keeps_no_kill_behind_it(runtime_at, environment, steps):
    runtime = runtime_at(3)
    # It reads as a step, but has a list for its key.
    broken = replace(steps[4], kind="flag_updated", key=["a"])

    runtime._listener._apply([broken.message(), steps[4].message()])

    assert runtime.environments[environment.pk].evaluate("a", USER).reason == "KILL_SWITCH"


def test_apply__an_environment_not_known__asks_for_it(steps):
    assert not Runtime().apply(steps[1])


def test_refresh__steps_missed__are_fetched_and_announced_in_order(runtime_at, environment, steps):
    runtime = runtime_at(1)
    announced = []
    runtime.observe(lambda pk, found, _ahead: announced.append((pk, [step.version for step in found])))

    runtime.refresh()

    assert announced == [(environment.pk, [2, 3, 4, 5])]
    assert runtime.environments[environment.pk].document() == load_document(environment.pk)


def test_refresh__more_steps_than_worth_fetching__loads_afresh(runtime_at, environment, monkeypatch):
    runtime = runtime_at(1)
    announced = []
    runtime.observe(lambda pk, found, _ahead: announced.append((pk, found)))
    monkeypatch.setattr(loading, "MOST_STEPS_FETCHED", 3)

    runtime.refresh()

    assert announced == [(environment.pk, None)]
    assert runtime.environments[environment.pk].version == 5


def test_refresh__nothing_new__is_one_query(runtime_at, environment, staging, django_assert_num_queries):
    runtime = runtime_at(1)
    runtime.refresh()

    with django_assert_num_queries(1):
        runtime.refresh()


def test_refresh__database_was_restored_from_a_backup__goes_back_with_it(runtime_at, environment, steps):
    runtime = runtime_at(5)
    announced = []
    runtime.observe(lambda pk, found, _ahead: announced.append((pk, found)))
    Change.objects.filter(version__gt=3).delete()
    type(environment).objects.update(config_version=3)

    runtime.refresh()

    assert runtime.environments[environment.pk].document() == load_document(environment.pk)
    assert announced == [(environment.pk, None)]
    assert runtime.apply(steps[4])


def test_refresh__an_environment_is_gone__is_no_longer_served(runtime_at, environment):
    runtime = runtime_at(5)
    runtime._take(999_999, runtime.environments[environment.pk])

    runtime.refresh()

    assert set(runtime.environments) == {environment.pk}


def test_staleness__nothing_confirmed_for_too_long__marks_every_answer_until_confirmed(
    runtime_at, environment, settings
):
    settings.STALE_AFTER_SECONDS = 30
    runtime = runtime_at(5)
    runtime.refresh()
    runtime.check_staleness()
    assert not runtime.environments[environment.pk].evaluate("a", USER).stale

    runtime._confirmed_at = time.monotonic() - 31
    runtime.check_staleness()

    assert runtime.environments[environment.pk].evaluate("a", USER).stale
    runtime.refresh()
    assert not runtime.environments[environment.pk].evaluate("a", USER).stale


def test_refresh__database_away__raises_and_keeps_what_is_here(runtime_at, environment, monkeypatch):
    runtime = runtime_at(5)

    def away():
        raise OperationalError("away")

    monkeypatch.setattr(loading, "current_versions", away)
    with pytest.raises(OperationalError):
        runtime.refresh()

    assert runtime.environments[environment.pk].version == 5
    assert Change.objects.count() == 5
