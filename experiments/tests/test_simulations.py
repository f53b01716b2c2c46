"""Designs forecast, and the tests held to their promise on stored users among whom nothing differs."""

import io

import pytest
from django.core.management import CommandError, call_command

from experiments.design.simulations import NullCheck, check_null, forecast
from experiments.tests.conftest import START
from tenancy.errors import Invalid

DESIGN = {"users_per_day": 500, "days": 14, "baseline": 0.1, "lift": 0.2, "replications": 2_000}


def test_forecast__planned_method__has_the_power_and_keeps_the_promise():
    found = forecast(method="obrien_fleming", **DESIGN)

    assert 0.7 < found.with_effect.right_direction_rate < 0.9
    assert found.without.claim_rate <= 0.05 + 3 * 0.0049
    assert found.with_effect.mean_stop_day < found.without.mean_stop_day


def test_forecast__same_seed__is_the_same():
    assert forecast(method="fixed", **DESIGN) == forecast(method="fixed", **DESIGN)


def test_forecast__rate_above_one__is_refused():
    with pytest.raises(Invalid, match="between 0 and 1"):
        forecast(method="fixed", **{**DESIGN, "baseline": 0.9, "lift": 0.5})


def test_check_null__users_alike__alarms_as_often_as_promised(running, expose, environment):
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 60, "treatment": 60})
    found = check_null(environment, "new-checkout", running.primary_metric, replications=400, now=START.replace(day=5))

    assert (found.users, found.replications) == (600, 400)
    assert found.is_healthy
    assert found.rate > 0


def test_check_null__variants_differ__still_finds_the_halves_alike(running, expose, environment):
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 30, "treatment": 150})
    found = check_null(environment, "new-checkout", running.primary_metric, replications=400, now=START.replace(day=5))

    assert found.is_healthy


def test_check_null__too_few_users__is_refused(running, expose, environment):
    expose(running, {"control": 5})
    with pytest.raises(Invalid, match="too few"):
        check_null(environment, "new-checkout", running.primary_metric, now=START.replace(day=5))


def test_check_null__ratio__is_refused(make_metric, environment):
    metric = make_metric("r", type="ratio", denominatorEventName="view")
    with pytest.raises(Invalid):
        check_null(environment, "new-checkout", metric)


def test_null_check__twice_the_alarms__is_not_healthy():
    assert not NullCheck(users=1000, replications=1000, false_positives=100, alpha=0.05).is_healthy
    assert NullCheck(users=1000, replications=1000, false_positives=60, alpha=0.05).is_healthy


def test_command__all_methods__prints_a_line_each():
    out = io.StringIO()
    call_command("simulate_experiment", "--replications", "200", stdout=out)

    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["always_valid", "pocock", "obrien_fleming", "fixed"]


def test_command__own_data__names_the_rate(running, expose, environment):
    expose(running, {"control": 100, "treatment": 100}, converted={"control": 20, "treatment": 20})
    out = io.StringIO()
    call_command(
        "simulate_experiment", "--check-null", "new-checkout", "--metric", "purchase-rate", "--days", "5000",
        "--replications", "100", "--environment", "acme/web/production", stdout=out,
    )  # fmt: skip

    assert out.getvalue().startswith("200 users, split at random 100 times")


@pytest.mark.parametrize("path", ["nothing", "acme/web/nothing"])
def test_command__no_such_environment__is_refused(make_metric, environment, path):
    make_metric()
    with pytest.raises(CommandError):
        call_command("simulate_experiment", "--check-null", "f", "--metric", "purchase-rate", "--environment", path)
