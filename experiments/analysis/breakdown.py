"""The primary metric within segments of an attribute: corrected for being many, and never a decision by itself."""

from collections import Counter
from typing import Any

from django.db.models import F, Func, JSONField, Value

from analytics.models import Exposure
from experiments.analysis.effects import effect
from experiments.analysis.measures import Measure, measure
from experiments.analysis.people import Source
from experiments.analysis.window import Window
from experiments.models import Experiment
from experiments.statistics.multiplicity import benjamini_hochberg
from tenancy.errors import Invalid

MOST_SEGMENTS = 10
_LONGEST_NAME = 100
_ROWS_AT_A_TIME = 20_000


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
    """Each user's value at the first exposure that had one, as text."""
    rows = (
        Exposure.objects.filter(
            environment_id=experiment.environment_id,
            experiment=experiment.key,
            is_bot=False,
            occurred_at__gte=window.since,
            occurred_at__lt=window.until,
            attributes__isnull=False,
        )
        .annotate(its=_member(attribute))
        .order_by("occurred_at", "evaluation_id")
        .values_list("unit_id", "its")
    )
    found: dict[str, str] = {}
    for unit, value in rows.iterator(chunk_size=_ROWS_AT_A_TIME):
        if isinstance(value, (str, int, float)):
            found.setdefault(unit, str(value).lower() if isinstance(value, bool) else str(value))
    return found


def _member(name: str) -> Func:
    """The member of that very name: Django's own lookup would read `a__b` as a path and `0` as a position."""
    return Func(F("attributes"), Value(name), function="jsonb_extract_path", output_field=JSONField())


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
