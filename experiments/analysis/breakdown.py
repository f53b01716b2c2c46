"""The primary metric within segments of an attribute: corrected for being many, and never a decision by itself."""

from collections import Counter
from typing import Any

from analytics.selectors import attribute_values
from experiments.analysis.effects import effect
from experiments.analysis.measures import Measure, measure
from experiments.analysis.people import Source
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.statistics.multiplicity import benjamini_hochberg
from tenancy.errors import Invalid

MOST_SEGMENTS = 10
_LONGEST_NAME = 100


def break_down(experiment: Experiment, window: Window, attribute: str, variants: list[str]) -> dict[str, Any]:
    """Return `{attribute, correction, segments, unknownUsers, otherUsers}`, the ten largest segments first.

    A user belongs to the value that the first exposure carried; exposures without attributes are in no segment.
    """
    if not attribute or len(attribute) > _LONGEST_NAME:
        raise Invalid("Name one attribute of the exposures, such as country.", attr="segment", code="invalid")
    source = Source(experiment, window)
    people = source.people(window.until)
    known = _values(experiment, window, attribute)
    mine = {unit: known[unit] for unit in people.places if unit in known}
    sizes = Counter(mine.values())
    largest = [value for value, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:MOST_SEGMENTS]]
    measures = {
        value: measure(
            source.narrowed({unit for unit, its in mine.items() if its == value}),
            experiment.primary_metric,
            variants=variants,
        )
        for value in largest
    }
    return {
        "attribute": attribute,
        "correction": Experiment.Correction.BENJAMINI_HOCHBERG,
        "segments": _segments(experiment, measures, variants),
        "unknownUsers": len(people.places) - len(mine),
        "otherUsers": len(mine) - sum(sizes[value] for value in largest),
    }


def _values(experiment: Experiment, window: Window, attribute: str) -> dict[str, str]:
    found = attribute_values(experiment.environment_id, experiment.key, window.since, window.until, attribute)
    return {unit: _as_text(value) for unit, value in found}


def _as_text(value: str | float) -> str:
    """`1` and `1.0` are the same number, as they are to a condition."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _segments(experiment: Experiment, measures: dict[str, Measure], variants: list[str]) -> list[dict[str, Any]]:
    metric, control = experiment.primary_metric, experiment.control_variant
    pairs = [(value, key) for value in measures for key in variants if key != control]
    effects = [
        effect(metric, measures[value].arms[control], measures[value].arms[key], experiment.alpha)
        for value, key in pairs
    ]
    adjusted = benjamini_hochberg([item.p_value for item in effects])
    comparisons: dict[str, list[dict[str, Any]]] = {value: [] for value in measures}
    for (value, key), item, p_value in zip(pairs, effects, adjusted, strict=True):
        comparisons[value].append(
            {
                "variant": key,
                "absoluteLift": item.diff,
                "relativeLift": item.lift,
                "ci": item.ci,
                "pValue": item.p_value,
                "adjustedPValue": p_value,
                "significant": None if p_value is None else p_value < experiment.alpha,
                "reasons": item.reasons,
            }
        )
    return [
        {
            "value": value,
            "users": sum(arm.users for arm in found.arms.values()),
            "variants": [arm.as_resource(experiment.alpha) for arm in found.arms.values()],
            "comparisons": comparisons[value],
        }
        for value, found in measures.items()
    ]
