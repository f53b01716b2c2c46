"""How many users, and how many days: from what the flag's own users did in the last 7 days, by the metric's type."""

import math
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from analytics.event_records import Batch
from analytics.services import store_events
from experiments.design.preflight import check_before_start
from experiments.statistics.power import sample_size_means
from experiments.tests.conftest import conversion, exposure

AMOUNTS = [0.0, 10.0, 20.0, 30.0]


@pytest.fixture
def week(make_experiment):
    """400 users of two days ago, who spent 0, 10, 20 and 30 in turns."""

    def _week(experiment):
        seen = timezone.now() - timedelta(days=2)
        exposures, conversions = [], []
        for number in range(400):
            exposures.append(exposure(experiment, f"user-{number}", "control", seen))
            if number % 4:
                later = seen + timedelta(minutes=1)
                conversions.append(conversion(experiment, f"user-{number}", later, value=AMOUNTS[number % 4]))
        store_events(Batch(exposures, conversions))

    return _week


@pytest.mark.parametrize(
    ("metric", "figures"),
    [
        ({"type": "continuous"}, AMOUNTS),
        ({"type": "continuous", "cap": 15}, [0.0, 10.0, 15.0, 15.0]),
        ({"type": "count"}, [0.0, 1.0, 1.0, 1.0]),
    ],
)
def test_estimate__metric_of_means__is_sized_by_its_own_users(make_metric, make_experiment, week, metric, figures):
    make_metric("spent", **metric)
    experiment = make_experiment(primaryMetric="spent", trafficPercent=50, analysis={"method": "fixed"})
    week(experiment)
    found = check_before_start(experiment)

    users = np.tile(figures, 100)
    size = sample_size_means(users.std(ddof=1), users.mean() * 0.1, 0.05, 0.8)
    assert found.estimate.baseline_mean == pytest.approx(users.mean())
    assert found.estimate.baseline_sd == pytest.approx(users.std(ddof=1))
    assert found.estimate.users_needed == 2 * math.ceil(size.n_control)
    # The last 7 days begin amid a day, so hourly sketches estimate their users.
    assert found.estimate.users_per_day == pytest.approx(400 * 0.5 / 7, rel=0.05)
    assert found.estimate.days == round(found.estimate.users_needed / found.estimate.users_per_day)
    assert not [text for text in found.warnings if "How many users" in text]


def test_estimate__most_extreme_users_capped__is_sized_by_the_capped(make_metric, make_experiment, week):
    make_metric("spent", type="continuous")
    experiment = make_experiment(primaryMetric="spent", analysis={"method": "fixed", "winsorizePercent": 40})
    week(experiment)

    # A third of those who spent at all spent 30; the cap, at 60 % of them, is the 20 of the next below.
    users = np.tile([0.0, 10.0, 20.0, 20.0], 100)
    assert check_before_start(experiment).estimate.baseline_mean == pytest.approx(users.mean())


@pytest.mark.parametrize(("correction", "alpha"), [("holm", 0.025), ("none", 0.05)])
def test_estimate__two_treatments__leaves_each_its_share_of_the_error_rate(
    make_metric, make_experiment, week, correction, alpha
):
    make_metric("spent", type="continuous")
    experiment = make_experiment(primaryMetric="spent", analysis={"method": "fixed", "correction": correction})
    config = experiment.config
    config.flag.variants = [*config.flag.variants, {"key": "third", "value": True}]
    config.flag.type = "string"
    experiment.allocation = [[0, 4000, "control"], [4000, 7000, "treatment"], [7000, 10_000, "third"]]
    week(experiment)

    users = np.tile(AMOUNTS, 100)
    size = sample_size_means(users.std(ddof=1), users.mean() * 0.1, alpha, 0.8, ratio=0.75)
    assert check_before_start(experiment).estimate.users_needed == math.ceil(math.ceil(size.n_control) / 0.4)


def test_estimate__ratio__says_that_it_cannot_be_told(make_metric, make_experiment, week):
    make_metric("per-view", type="ratio", denominatorEventName="view")
    experiment = make_experiment(primaryMetric="per-view")
    week(experiment)
    found = check_before_start(experiment)

    assert (found.estimate.users_needed, found.estimate.days) == (None, None)
    assert any("How many users it takes cannot be told" in text for text in found.warnings)


def test_estimate__smallest_effect_that_matters__is_what_is_planned_for(make_metric, make_experiment, week):
    make_metric("spent", type="count")
    analysis = {"method": "fixed", "minimumEffect": 0.2}
    experiment = make_experiment(primaryMetric="spent", analysis=analysis)
    week(experiment)
    found = check_before_start(experiment)

    users = np.tile([0.0, 1.0, 1.0, 1.0], 100)
    size = sample_size_means(users.std(ddof=1), users.mean() * 0.2, 0.05, 0.8)
    assert found.estimate.users_needed == pytest.approx(2 * size.n_control, abs=2)
    assert found.as_payload()["estimate"]["assumedLift"] == 0.2
