"""The registry of metric types is the only place that tells types apart."""

import re
from pathlib import Path

import pytest

from experiments.analysis.metric_types import CHOICES, METRIC_TYPES, POWER_MODELS, metric_type, per_user_type
from experiments.analysis.metric_types.fields import TYPE_FIELDS
from experiments.models import Metric

APP = Path(__file__).resolve().parent.parent
REGISTRY = APP / "analysis" / "metric_types"
# A comparison with a type by name, in any of the ways that one could be written.
_NAMES = "|".join(METRIC_TYPES)
_DISPATCH = re.compile(
    rf"metric\.type (==|!=|in|not in)\b|Metric\.Type\b|\.type (==|!=) [\"']({_NAMES})[\"']|isinstance\([^)]*MetricType"
)


def test_metric_types__source__is_dispatched_by_the_registry_alone():
    found = [
        f"{path.relative_to(APP)}:{number}: {line.strip()}"
        for path in sorted(APP.rglob("*.py"))
        if REGISTRY not in path.parents and not {"tests", "migrations"} & set(path.parts)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if _DISPATCH.search(line) and "metric.type in METRIC_TYPES" not in line
    ]
    assert found == []


def test_registry__types__have_a_file_each_and_fit_the_column():
    assert [key for key, _ in CHOICES] == list(METRIC_TYPES)
    assert {each.__module__.rpartition(".")[2] for each in METRIC_TYPES.values()} == set(METRIC_TYPES)
    longest = Metric._meta.get_field("type").max_length
    assert longest is not None
    assert all(len(key) <= longest for key in METRIC_TYPES)


def test_registry__power__is_asked_for_by_the_names_of_the_api():
    assert list(POWER_MODELS) == ["binary", "continuous"]
    assert {key for key, each in METRIC_TYPES.items() if each.power is None} == {"ratio", "quantile"}


@pytest.mark.parametrize("key", METRIC_TYPES)
def test_metric_type__any__takes_what_it_requires_and_is_bound_to_its_metric(key):
    metric = Metric(type=key, window_hours=12)
    kind = metric_type(metric)

    assert kind.metric is metric
    assert kind.required <= kind.fields <= set(TYPE_FIELDS)
    assert kind.window.total_seconds() == 12 * 3600
    assert (per_user_type(metric) is None) == bool(kind.unadjusted)


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ({"type": "ratio"}, {"denominatorEventName": "required"}),
        ({"type": "quantile"}, {"quantile": "required"}),
        ({"type": "quantile", "quantile": 1.0}, {"quantile": "required"}),
        (
            {"type": "binary", "denominator_event_name": "view", "value_property": "total", "quantile": 0.5},
            {"denominatorEventName": "not_applicable", "valueProperty": "not_applicable", "quantile": "not_applicable"},
        ),
        ({"type": "count", "quantile": 0.0}, {"quantile": "not_applicable"}),
        ({"type": "continuous", "value_property": "total"}, {}),
        ({"type": "ratio", "denominator_event_name": "view", "value_property": "total"}, {}),
        ({"type": "quantile", "quantile": 0.95, "value_property": "ms"}, {}),
    ],
)
def test_metric_type__fields__are_refused_where_they_do_not_belong(content, refused):
    assert {problem.attr: problem.code for problem in metric_type(Metric(**content)).problems()} == refused
