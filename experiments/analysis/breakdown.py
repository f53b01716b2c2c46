"""The primary metric in segments of an attribute. P-values are corrected for many segments; none is a decision."""

from collections import Counter
from collections.abc import Callable

from analytics.selectors import attribute_values, segment_name
from experiments.analysis.arms import Measure
from experiments.analysis.metric_types import metric_type
from experiments.analysis.window import Window
from experiments.analysis.window_data import WindowData
from experiments.models import Experiment
from experiments.payloads import Breakdown, SegmentComparison, SegmentResult
from experiments.statistics.multiplicity import benjamini_hochberg
from tenancy.errors import Invalid

# The number of users by the value they carried (None: no value), and a function that measures some values.
_Found = tuple[dict[str | None, int], Callable[[list[str]], dict[str, Measure]]]
MOST_SEGMENTS = 10
_LONGEST_NAME = 100


def break_down(experiment: Experiment, window: Window, attribute: str, variants: list[str]) -> Breakdown:
    """Return `{attribute, correction, segments, unknownUsers, otherUsers}`, the ten largest segments first.

    A user belongs to the value that the first exposure carried; exposures without attributes are in no segment.
    """
    if not attribute or len(attribute) > _LONGEST_NAME:
        raise Invalid("Name one attribute of the exposures, such as country.", attr="segment", code="invalid")
    data = WindowData(experiment, window)
    sizes, measures_of = _from_sums(data, attribute, variants) or _from_units(data, attribute, variants)
    known = {value: users for value, users in sizes.items() if value is not None}
    largest = sorted(known, key=lambda value: (-known[value], value))[:MOST_SEGMENTS]
    return {
        "attribute": attribute,
        "correction": Experiment.Correction.BENJAMINI_HOCHBERG,
        "segments": _segments(data, measures_of(largest), variants),
        "unknownUsers": sizes.get(None, 0),
        "otherUsers": sum(known.values()) - sum(known[value] for value in largest),
    }


def _from_sums(data: WindowData, attribute: str, variants: list[str]) -> _Found | None:
    """As the event store sums them up; None for a metric that needs each user."""
    found = metric_type(data.plan.primary).segments(data, attribute, variants)
    if found is None:
        return None
    sizes = {value: segment.users for value, segment in found.items()}
    return sizes, lambda wanted: {value: found[value].measure for value in wanted}


def _from_units(data: WindowData, attribute: str, variants: list[str]) -> _Found:
    known = {unit: segment_name(value) for unit, value in attribute_values(data.period(), attribute)}
    units = data.units()
    kind = metric_type(data.plan.primary)

    def measures_of(wanted: list[str]) -> dict[str, Measure]:
        members = {value: {unit for unit in units.places if known.get(unit) == value} for value in wanted}
        return {value: kind.measure(data.narrowed(members[value]), variants) for value in wanted}

    return dict(Counter(known.get(unit) for unit in units.places)), measures_of


def _segments(data: WindowData, measures: dict[str, Measure], variants: list[str]) -> list[SegmentResult]:
    experiment, kind = data.experiment, metric_type(data.plan.primary)
    control = experiment.control_variant
    pairs = [(value, key) for value in measures for key in variants if key != control]
    effects = [
        kind.effect(measures[value].arms[control], measures[value].arms[key], experiment.alpha) for value, key in pairs
    ]
    adjusted = benjamini_hochberg([item.p_value for item in effects])
    comparisons: dict[str, list[SegmentComparison]] = {value: [] for value in measures}
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
                "liftOf": item.of,
            }
        )
    return [
        {
            "value": value,
            "users": sum(arm.users for arm in found.arms.values()),
            "variants": [arm.as_payload(experiment.alpha) for arm in found.arms.values()],
            "comparisons": comparisons[value],
        }
        for value, found in measures.items()
    ]
