"""`GET flags/{key}/exposures`: who got what, what was promised, and since when."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from analytics.stores.sketches import RELATIVE_ERROR
from experiments.analysis.flag_split import exposures_resource
from experiments.services import create_experiment
from experiments.tests.conftest import HALF, START
from flags import services
from flags.models import Change
from tenancy.testing import ALICE

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
WINDOW = f"{START:%Y-%m-%dT%H:%M:%SZ}/{START + DAY:%Y-%m-%dT%H:%M:%SZ}"
TWO_DAYS = f"{START:%Y-%m-%dT%H:%M:%SZ}/{START + 2 * DAY:%Y-%m-%dT%H:%M:%SZ}"
EVEN = {"control": 60, "treatment": 40}


def _seen(config, counts, at, prefix="user"):
    moment = int(at.timestamp() * 1000)
    rows = [
        ExposureEvent(
            evaluation_id=uuid7(moment),
            environment_id=config.environment_id,
            flag_key=config.flag.key,
            unit_id=f"{prefix}-{variant}-{number}",
            variant=variant,
            reason="ROLLOUT",
            rule_id=None,
            experiment=None,
            config_version=1,
            occurred_ms=moment,
            received_ms=moment,
            source="test",
            attributes=None,
        )
        for variant, count in counts.items()
        for number in range(count)
    ]
    store_events(Batch(rows, []))


def _changed(config, payload, at):
    with patch("django.utils.timezone.now", return_value=at):
        services.update_flag(
            actor=ALICE,
            environment=config.environment,
            key=config.flag.key,
            payload=payload,
            version=Change.objects.filter(key=config.flag.key).latest("version").document["version"],
        )


@pytest.fixture
def split(make_flag):
    """A flag that gives half of all users treatment, since a day before START."""
    with patch("django.utils.timezone.now", return_value=START - timedelta(days=1)):
        return make_flag("new-checkout", rollout=HALF)


def test_exposures__over_http__are_counts_users_and_the_sample_ratio(split, viewer):
    at = timezone.now() - timedelta(minutes=30)
    _seen(split, EVEN, at)
    _seen(split, {"control": 60}, at + MINUTE)
    answer = viewer.get("flags/new-checkout/exposures?window=7d")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"window", "variants", "expected", "srm"}
    assert body["variants"] == [
        {"key": "control", "exposures": 120, "users": 60, "usersRelativeError": RELATIVE_ERROR},
        {"key": "treatment", "exposures": 40, "users": 40, "usersRelativeError": RELATIVE_ERROR},
    ]
    assert body["expected"] == {"control": 50, "treatment": 50}
    assert body["srm"]["observed"] == {"control": 60, "treatment": 40}
    # (10^2 + 10^2) / 50, one degree of freedom.
    assert body["srm"]["chiSquare"] == pytest.approx(4.0)
    assert body["srm"]["pValue"] == pytest.approx(0.04550026389635857)
    assert body["srm"]["warning"] is False


def test_exposures__far_from_the_promise__warn(split):
    _seen(split, {"control": 200, "treatment": 100}, START + HOUR)
    ratio = exposures_resource(split, WINDOW)["srm"]
    assert ratio["warning"] is True
    assert ratio["pValue"] < 1e-6


def test_exposures__a_split_changed_in_the_window__is_judged_since_then(split):
    _seen(split, {"control": 100, "treatment": 100}, START + HOUR)
    _changed(split, {"rollout": [{"variant": "treatment", "percent": 90}]}, START + 2 * HOUR + MINUTE)
    # Whole days are judged: of the day that the change cuts nothing is.
    _seen(split, {"control": 50}, START + 2 * HOUR + 2 * MINUTE, "early")
    _seen(split, {"control": 10, "treatment": 90}, START + DAY, "late")
    found = exposures_resource(split, TWO_DAYS)
    assert [row["users"] for row in found["variants"]] == [160, 190]
    assert found["expected"] == {"control": pytest.approx(10), "treatment": pytest.approx(90)}
    assert found["srm"]["observed"] == {"control": 10, "treatment": 90}
    assert found["srm"]["since"] == START + 2 * HOUR + MINUTE
    assert found["srm"]["judged"] == {"since": START + DAY, "until": START + 2 * DAY}
    assert {row["usersRelativeError"] for row in found["variants"]} == {None}


def test_exposures__a_split_changed_within_the_hour__is_judged_from_that_moment(split):
    _seen(split, {"control": 100}, START + MINUTE)
    _changed(split, {"rollout": [{"variant": "treatment", "percent": 100}]}, START + 2 * MINUTE)
    _seen(split, {"treatment": 30}, START + 3 * MINUTE, "late")
    found = exposures_resource(split, "1h", now=START + 4 * MINUTE)
    assert found["srm"]["observed"] == {"control": 0, "treatment": 30}
    assert found["srm"]["reason"] == "only one arm has weight, so there is no ratio to test"


def test_exposures__what_leaves_the_split_alone__does_not_cut_the_window(split):
    _seen(split, EVEN, START + HOUR)
    _changed(split, {"metadata": {"team": "web"}}, START + 2 * HOUR)
    _seen(split, {"control": 40, "treatment": 60}, START + 3 * HOUR, "late")
    assert exposures_resource(split, WINDOW)["srm"]["observed"] == {"control": 100, "treatment": 100}


@pytest.mark.parametrize(
    "payload",
    [
        {"targets": [{"variant": "control", "userIds": ["alice"]}]},
        {
            "rules": [
                {
                    "priority": 1,
                    "variant": "control",
                    "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
                }
            ]
        },
    ],
    ids=["targets", "rules"],
)
def test_exposures__where_not_all_are_split_alike__have_no_sample_ratio_and_say_why(split, payload):
    _changed(split, payload, START + HOUR)
    _seen(split, EVEN, START + 2 * HOUR)
    found = exposures_resource(split, WINDOW)
    assert [row["users"] for row in found["variants"]] == [60, 40]
    assert (found["expected"], found["srm"]["pValue"], found["srm"]["warning"]) == (None, None, False)
    assert "no one split" in found["srm"]["reason"]


def test_exposures__in_an_experiment_on_part_of_the_traffic__expect_the_rest_by_the_flags_rollout(
    split, environment, make_metric, start
):
    make_metric()
    content = {"name": "Some", "flagKey": "new-checkout", "primaryMetric": "purchase-rate", "trafficPercent": 20}
    content["allocation"] = [{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}]
    with patch("django.utils.timezone.now", return_value=START):
        start(create_experiment(actor=ALICE, environment=environment, payload=content), at=START)
    _seen(split, {"control": 60, "treatment": 40}, START + HOUR)
    found = exposures_resource(split, WINDOW)
    # A fifth of the users by the experiment's split, the others by the flag's even rollout.
    assert found["expected"] == {"control": pytest.approx(58), "treatment": pytest.approx(42)}


def test_exposures__of_a_flag_nobody_saw__are_zeros_with_a_reason(split):
    found = exposures_resource(split, WINDOW)
    assert [row["users"] for row in found["variants"]] == [0, 0]
    assert (found["srm"]["pValue"], found["srm"]["reason"]) == (None, "no users yet")


def test_exposures__a_window_nobody_can_read__is_refused(split, viewer):
    answer = viewer.get("flags/new-checkout/exposures?window=soon")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "window"
    assert viewer.get("flags/nothing/exposures").status_code == 404
