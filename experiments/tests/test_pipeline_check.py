"""`check_pipeline`: real users dealt anew through the whole analysis; alarms within chance; nothing stored."""

from datetime import timedelta
from random import Random

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from analytics.event_records import Batch
from analytics.models import Exposure, FirstExposure
from analytics.services import store_events
from experiments.design import pipeline_check
from experiments.models import Experiment, Phase
from experiments.tests.conftest import conversion, exposure


@pytest.fixture
def busy(make_experiment, make_metric):
    """600 users of a draft's flag who buy now and then, and in the days before as well."""
    make_metric("revenue", type="continuous")
    make_metric("p90", type="quantile", quantile=0.9)
    experiment = make_experiment()
    dice, now = Random(7), timezone.now()
    exposures, conversions = [], []
    for number in range(600):
        seen = now - timedelta(days=9, minutes=dice.randrange(2000))
        exposures.append(exposure(experiment, f"user-{number}", dice.choice(["control", "treatment"]), seen))
        for _ in range(dice.randrange(4)):
            at = seen + timedelta(hours=dice.randrange(-70, 24))
            conversions.append(conversion(experiment, f"user-{number}", at, value=dice.lognormvariate(2, 1)))
    store_events(Batch(exposures, conversions))
    return experiment


def _rows():
    return [model.objects.count() for model in (Experiment, Phase, FirstExposure, Exposure)]


def _path(environment):
    return f"{environment.project.organization.slug}/{environment.project.key}/{environment.key}"


def test_check__users_alike__rings_no_more_than_chance_and_stores_nothing(busy, capsys):
    before = _rows()
    where = _path(busy.environment)
    call_command("check_pipeline", environment=where, splits=3, salt="tests")
    said = capsys.readouterr().out

    assert "600 users, split 3 times" in said
    assert "No more false alarms than chance explains" in said
    for what in ("purchase-rate", "revenue", "p90", "(made up) ratio", "(made up) count", "guardrail revenue"):
        assert what in said
    for method in (*Experiment.Method.values, "fixed with CUPED", "chi-squared"):
        assert method in said
    assert _rows() == before


def test_check__an_analysis_that_claims_too_much__ends_with_1_and_names_it(busy, monkeypatch, capsys):
    def biased(variants):
        # As if the treatment got the users whose ids sort first: those of one kind.
        pipeline_check_deal((unit, "treatment" if int(unit[5:]) % 600 < 300 else "control") for unit, _ in variants)

    pipeline_check_deal = pipeline_check.deal
    monkeypatch.setattr(pipeline_check, "deal", biased)
    monkeypatch.setattr(pipeline_check, "_WAYS", pipeline_check._WAYS[-2:-1])
    late = [conversion(busy, f"user-{n}", timezone.now() - timedelta(days=8, hours=12), value=9) for n in range(300)]
    store_events(Batch([], late))
    where = _path(busy.environment)
    with pytest.raises(SystemExit) as ended:
        call_command("check_pipeline", environment=where, splits=4)
    assert ended.value.code == 1
    assert "revenue by fixed" in capsys.readouterr().err


def test_check__too_few_users__is_refused(make_experiment):
    environment = make_experiment().environment
    with pytest.raises(CommandError, match="Nobody saw a flag"):
        call_command("check_pipeline", environment=_path(environment))
