"""A metric whose value is a property of its events: what it sums, what it refuses, and that it is fixed while used."""

from datetime import timedelta

import orjson
import pytest

from analytics.event_records import Batch
from analytics.services import store_events
from experiments.analysis import results_for
from experiments.models import Metric
from experiments.tests.conftest import START, conversion, exposure

SEEN = START + timedelta(hours=5)


def _send(experiment, spent):
    exposures, conversions = [], []
    for variant, users in spent.items():
        for number, orders in enumerate(users):
            unit = f"{variant}-{number}"
            exposures.append(exposure(experiment, unit, variant, SEEN))
            for properties in orders:
                at = SEEN + timedelta(minutes=1)
                event = conversion(experiment, unit, at, value=1000.0, properties=orjson.dumps(properties).decode())
                conversions.append(event)
    store_events(Batch(exposures, conversions))


SPENT = {
    "control": [[{"total": 10}], [{"total": 5.5}, {"total": "none"}], []],
    "treatment": [[{"total": 20}, {"total": 4}], [{}], [{"total": 6}]],
}


@pytest.mark.parametrize(
    ("metric", "means"),
    [
        ({"type": "continuous"}, {"control": 15.5 / 3, "treatment": 10.0}),
        ({"type": "continuous", "cap": 9}, {"control": 14.5 / 3, "treatment": 5.0}),
        ({"type": "ratio", "denominatorEventName": "purchase"}, {"control": 15.5 / 2000, "treatment": 30 / 4000}),
        ({"type": "quantile", "quantile": 0.5}, {"control": 7.75, "treatment": 6.0}),
    ],
)
def test_property__is_the_value_of_the_metrics_events(make_metric, make_experiment, start, metric, means):
    make_metric("spent", valueProperty="total", **metric)
    experiment = start(make_experiment(primaryMetric="spent"), at=START)
    _send(experiment, SPENT)
    if metric["type"] == "ratio":
        # The denominator's events keep the value they were sent with.
        means["control"] = 15.5 / 3000
    found = results_for(experiment, now=START + timedelta(days=3))

    assert {row["key"]: row["mean"] for row in found["variants"]} == pytest.approx(means)


@pytest.mark.parametrize("kind", ["binary", "count"])
def test_property__of_a_metric_without_values__is_refused(editor, kind):
    body = {"key": "m", "type": kind, "eventName": "purchase", "valueProperty": "total"}
    answer = editor.post("metrics", body)

    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "valueProperty")
    assert not Metric.objects.exists()


def test_property__over_http__is_kept(editor):
    body = {"key": "spent", "type": "continuous", "eventName": "purchase", "valueProperty": "total"}
    made = editor.post("metrics", body).json()
    assert made["valueProperty"] == "total"
    answer = editor.patch("metrics/spent", {"version": made["version"], "valueProperty": None})

    assert (answer.status_code, "valueProperty" in answer.json()) == (200, False)
