"""The baseline of a plan: the flag's own users, or its audience's, over themselves; and what is said if none come."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.event_records import Batch
from analytics.services import set_event_policy, store_events
from analytics.testing import STORES
from experiments import services
from experiments.analysis import results_for
from experiments.design.preflight import check_before_start
from experiments.selectors import get_experiment
from experiments.tests.conftest import conversion, exposure
from flags.evaluation.audience import Audience, recent_audience
from flags.services import archive_flag, create_segment
from tenancy.errors import Unavailable
from tenancy.testing import ALICE

# Countries of the users of `flag_users`, each in turn.
COUNTRIES = ["DE", "US", "FR", "US"]
GERMANS = {"all": [{"attribute": "country", "operator": "equals", "value": "DE"}]}


@pytest.fixture(params=STORES)
def every_store(request, use_store):
    return use_store(request.param)


@pytest.fixture
def flag_users():
    """1,000 users saw the flag three days ago: 50 converted after it, 20 before it; and 450 others elsewhere."""

    def _make(experiment):
        seen = timezone.now() - timedelta(days=3)
        carried = [json.dumps({"country": country}) for country in COUNTRIES]
        exposures = [
            exposure(experiment, f"user-{n}", "control", seen, attributes=carried[n % len(carried)])
            for n in range(1000)
        ]
        after, before = seen + timedelta(hours=1), seen - timedelta(hours=1)
        conversions = [conversion(experiment, f"user-{n}", after if n < 50 else before) for n in range(70)]
        conversions += [conversion(experiment, f"elsewhere-{n}", after) for n in range(450)]
        # After its window of a day it counts for nobody.
        conversions.append(conversion(experiment, "user-900", seen + timedelta(hours=25)))
        store_events(Batch(exposures, conversions))

    return _make


def test_baseline__converters_elsewhere__are_not_the_flags(every_store, make_experiment, flag_users):
    """Public report PostHog#26815: a baseline counted conversions of users who never saw the flag."""
    experiment = make_experiment(analysis={"method": "fixed"})
    flag_users(experiment)
    found = check_before_start(experiment)
    estimate = found.estimate

    assert (estimate.baseline_rate, estimate.users_needed, estimate.days) == (0.05, 62_468, 437)
    assert estimate.users_per_day == 1000 / 7
    assert any("it takes 437 days" in text for text in found.warnings)


@pytest.mark.parametrize(("method", "factor"), [("fixed", 1.0), ("always_valid", 1.85), ("obrien_fleming", 1.05)])
def test_users_needed__each_method__has_its_own_inflation(make_experiment, flag_users, method, factor):
    experiment = make_experiment(analysis={"method": "always_valid"})
    experiment.method = method
    flag_users(experiment)
    assert check_before_start(experiment).estimate.users_needed / 62_468 == pytest.approx(factor, abs=0.1)


def test_baseline__audience__counts_its_users_alone(every_store, make_experiment, flag_users):
    experiment = make_experiment(audience=GERMANS, analysis={"method": "fixed"})
    flag_users(experiment)
    estimate = check_before_start(experiment).estimate

    # Users 0, 4, 8 … 996 are German; of them 0, 4 … 48 converted.
    assert estimate.audience_share == 0.25
    assert estimate.users_per_day == 250 / 7
    assert estimate.baseline_rate == pytest.approx(13 / 250)


def test_baseline__audience_that_nobody_carries__is_said(make_experiment, flag_users):
    asked = {"all": [{"attribute": "team", "operator": "equals", "value": "red"}]}
    experiment = make_experiment(audience=asked)
    flag_users(experiment)
    found = check_before_start(experiment)
    assert found.estimate.users_per_day == 1000 / 7
    assert any("Whom the audience takes in cannot be told" in text for text in found.warnings)


BY_ID = {"attribute": "userId", "operator": "not_equals", "value": "user-1"}
IN_LIST = {"attribute": "userId", "operator": "in_segment", "value": ["staff"]}


@pytest.mark.parametrize(("asked", "known"), [(BY_ID, 0), (IN_LIST, 0), (GERMANS["all"][0], 1000)])
def test_audience__by_ids_that_are_stored_as_pseudonyms__is_not_known(
    environment, make_experiment, flag_users, asked, known
):
    create_segment(actor=ALICE, environment=environment, payload={"key": "staff", "included": ["user-1"]})
    flag_users(make_experiment())
    environment.refresh_from_db()
    since = timezone.now() - timedelta(days=7)
    assert recent_audience(environment, "new-checkout", [asked], since).known == 1000
    set_event_policy(actor=ALICE, environment=environment, retention_days=None, stores_pseudonyms=True)
    assert recent_audience(environment, "new-checkout", [asked], since).known == known


def test_audience__of_an_archived_flag__is_not_known(environment, make_experiment, flag_users):
    experiment = make_experiment(audience=GERMANS)
    flag_users(experiment)
    archive_flag(actor=ALICE, environment=environment, key="new-checkout", confirm="new-checkout")
    environment.refresh_from_db()
    since = timezone.now() - timedelta(days=7)
    assert recent_audience(environment, "new-checkout", GERMANS, since) == Audience(frozenset(), 0)


def test_events__that_never_arrived__are_named_by_results(every_store, running, expose):
    expose(running, {"control": 5, "treatment": 5})
    said = "No event called 'purchase' has arrived here, which the metric 'purchase-rate' counts"
    assert any(said in text for text in results_for(running)["caveats"])
    store_events(Batch([], [conversion(running, "nobody", timezone.now())]))
    assert not any(said in text for text in results_for(running)["caveats"])


def test_preflight__event_that_never_arrived__is_named(make_experiment):
    warnings = check_before_start(make_experiment()).warnings
    assert any("No event called 'purchase' has arrived here" in text for text in warnings)


def test_events__of_users_for_a_flag_by_company__are_said_to_carry_no_unit(every_store, running, expose):
    phase = running.phases.get()
    phase.bucket_by = "companyId"
    phase.save()
    expose(running, {"control": 2, "treatment": 2}, prefix="company")
    at = running.started_at + timedelta(hours=13)
    store_events(Batch([], [conversion(running, "alice", at)]))
    running = get_experiment(running.environment, running.pk)
    said = "Events 'purchase' arrive, and none is of a unit that was exposed. This experiment is by companyId"
    assert any(said in text for text in results_for(running)["caveats"])
    store_events(Batch([], [conversion(running, "company-control-0", at)]))
    assert not any(said in text for text in results_for(running)["caveats"])


def test_preflight__events_of_users_for_a_flag_by_company__warns(make_experiment, flag_users):
    experiment = make_experiment()
    flag_users(experiment)
    experiment.config.bucket_by = "companyId"
    assert not any("none is of a unit" in text for text in check_before_start(experiment).warnings)
    experiment.primary_metric.event_name = "checkout"
    store_events(Batch([], [conversion(experiment, "alice", timezone.now(), event_name="checkout")]))
    (warning,) = [text for text in check_before_start(experiment).warnings if "none is of a unit" in text]
    assert "send the value of companyId as their userId, or as 'companyId' in their properties" in warning


@pytest.mark.django_db(transaction=True)
def test_results__that_take_too_long__are_stopped_and_say_so(running, expose, monkeypatch):
    expose(running, {"control": 5, "treatment": 5})
    monkeypatch.setattr("experiments.analysis.report.RESULTS_SECONDS", 0.0001)
    monkeypatch.setattr("analytics.stores.postgres.reads.SET_UP", "SELECT pg_sleep(1)")
    with pytest.raises(Unavailable, match="Working the results out took longer than") as stopped:
        services.read_results(experiment=running)
    assert (stopped.value.status, stopped.value.code, stopped.value.retry_after_seconds) == (503, "unavailable", 60)
