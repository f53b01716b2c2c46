"""The primary metric by segment: who belongs where, and the correction over all segments together."""

from dataclasses import asdict
from datetime import timedelta

import orjson
import pytest

from analytics.event_records import Batch
from analytics.services import store_events
from experiments.analysis import results_for
from experiments.analysis.metric_types import metric_type
from experiments.analysis.window import window_of
from experiments.analysis.window_data import WindowData
from experiments.tests.conftest import START, conversion, exposure

LATER = START + timedelta(days=4)
SEEN = START + timedelta(hours=5)


def _send(experiment, segments):
    """{country: {variant: (users, converted)}}; None is an exposure without attributes."""
    exposures, conversions = [], []
    for country, variants in segments.items():
        attributes = None if country is None else orjson.dumps({"country": country}).decode()
        for variant, (users, converted) in variants.items():
            for number in range(users):
                unit = f"{country}-{variant}-{number}"
                exposures.append(exposure(experiment, unit, variant, SEEN, attributes))
                if number < converted:
                    conversions.append(conversion(experiment, unit, SEEN + timedelta(minutes=1)))
    store_events(Batch(exposures, conversions))


def test_breakdown__by_country__works(running):
    _send(
        running,
        {
            "DE": {"control": (200, 20), "treatment": (200, 60)},
            "US": {"control": (150, 15), "treatment": (150, 17)},
            None: {"control": (10, 1), "treatment": (12, 1)},
        },
    )
    found = results_for(running, segment="country", now=LATER)["breakdown"]

    assert (found["attribute"], found["unknownUsers"], found["otherUsers"]) == ("country", 22, 0)
    assert [(row["value"], row["users"]) for row in found["segments"]] == [("DE", 400), ("US", 300)]
    germany, states = (row["comparisons"][0] for row in found["segments"])
    assert germany["absoluteLift"] == pytest.approx(0.2)
    assert (germany["significant"], states["significant"]) == (True, False)
    assert germany["adjustedPValue"] == pytest.approx(2 * germany["pValue"])
    assert states["adjustedPValue"] == pytest.approx(states["pValue"])


@pytest.mark.parametrize("analysis", [None, {"cuped": True}])
@pytest.mark.parametrize(
    "metric",
    [
        {"type": "binary"},
        {"type": "count", "cap": 2},
        {"type": "continuous"},
        {"type": "ratio", "denominatorEventName": "purchase"},
    ],
)
def test_breakdown__summed_up_and_user_by_user__agree(make_metric, make_experiment, start, metric, analysis):
    made = make_metric("m", **metric)
    experiment = start(
        make_experiment(primaryMetric=made.key, **({"analysis": analysis} if analysis else {})), at=START
    )
    _send(experiment, {"DE": {"control": (9, 5), "treatment": (8, 2)}, "US": {"control": (4, 4), "treatment": (7, 1)}})
    again = [
        conversion(experiment, f"US-treatment-{number}", SEEN + timedelta(hours=hours), value=2.5 + number)
        for number in range(3)
        for hours in (-30, 2, 3)
    ]
    store_events(Batch([], again))
    data = WindowData(experiment, window_of(experiment, now=LATER))
    kind = metric_type(made)
    found = kind.segments(data, "country", ["control", "treatment"])

    assert {value: segment.users for value, segment in found.items()} == {"DE": 17, "US": 11}
    for country, segment in found.items():
        units = {unit for unit in data.units().places if unit.startswith(country)}
        others = kind.measure(data.narrowed(units), ["control", "treatment"])
        for key, arm in segment.measure.arms.items():
            other = others.arms[key]
            assert arm.proportion == other.proportion
            for name in ("moments", "ratio", "covariate"):
                ours, theirs = getattr(arm, name), getattr(other, name)
                assert (ours and asdict(ours)) == pytest.approx(theirs and asdict(theirs)), name


def test_breakdown__user_who_moves__belongs_where_first_seen(running):
    for hours, country in ((0, "DE"), (2, "US")):
        attributes = orjson.dumps({"country": country}).decode()
        store_events(Batch([exposure(running, "one", "control", SEEN + timedelta(hours=hours), attributes)], []))
    found = results_for(running, segment="country", now=LATER)["breakdown"]

    assert [(row["value"], row["users"]) for row in found["segments"]] == [("DE", 1)]


def test_breakdown__many_values__shows_the_ten_largest(running):
    _send(running, {f"c{number:02}": {"control": (number + 1, 0)} for number in range(13)})
    found = results_for(running, segment="country", now=LATER)["breakdown"]

    assert [row["value"] for row in found["segments"]] == [f"c{number:02}" for number in range(12, 2, -1)]
    assert found["otherUsers"] == 1 + 2 + 3


def test_breakdown__attribute_nobody_sent__has_no_segment(viewer, running, expose):
    expose(running, {"control": 3})
    response = viewer.get(f"experiments/{running.key}/results", segment="planet")

    assert response.status_code == 200
    assert (response.json()["breakdown"]["segments"], response.json()["breakdown"]["unknownUsers"]) == ([], 3)


@pytest.mark.parametrize("segment", ["", "x" * 101])
def test_breakdown__no_attribute__is_refused(viewer, running, segment):
    response = viewer.get(f"experiments/{running.key}/results", segment=segment)

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "segment")


@pytest.mark.parametrize("segment", ["a__b", "0", "id'; DROP TABLE exposures; --", "ключ"])
def test_breakdown__odd_names__are_names(viewer, running, expose, segment):
    attributes = orjson.dumps({segment: "yes"}).decode()
    store_events(Batch([exposure(running, "one", "control", SEEN, attributes)], []))
    found = viewer.get(f"experiments/{running.key}/results", segment=segment).json()["breakdown"]

    assert [(row["value"], row["users"]) for row in found["segments"]] == [("yes", 1)]
