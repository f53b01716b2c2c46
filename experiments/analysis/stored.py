"""Reading stored results: a row is trusted while its content has the digest that it was stored with."""

from datetime import datetime
from typing import Any, Final, cast

from experiments.analysis.provenance import digest_of
from experiments.models import ExperimentResult
from experiments.payloads import Results

CHANGED: Final = "This stored result was changed after it was frozen: none of its figures can be trusted."
_INSTANTS: Final = (("window", "since"), ("window", "until"), ("window", "asOf"), ("experiment", "startedAt"))


def is_intact(row: ExperimentResult) -> bool:
    """Whether the row's content is what was stored: the digest is computed again. Never raises."""
    try:
        return digest_of(_with_instants(row.payload)) == row.digest
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def results_of(row: ExperimentResult) -> Results:
    """The stored results; those of a row that was changed have no figure, and say why."""
    return row.payload if is_intact(row) else _without_figures(row)


def _with_instants(payload: Any) -> Results:
    """The payload with instants in place of their text, as it was when its digest was computed."""
    found = {**payload, **{part: {**payload[part]} for part, _ in _INSTANTS}}
    for part, name in _INSTANTS:
        text = found[part][name]
        found[part][name] = None if text is None else datetime.fromisoformat(text)
    if found["watermark"] is not None:
        found["watermark"] = datetime.fromisoformat(found["watermark"])
    return cast(Results, found)


def _without_figures(row: ExperimentResult) -> Results:
    """Results in the API's shape, from the row's own columns and its phase; every figure is null."""
    experiment, phase = row.experiment, row.phase
    nothing = {"chiSquare": None, "pValue": None, "warning": False, "alarm": False}
    return cast(
        Results,
        {
            "intact": False,
            "experiment": {
                "id": experiment.key,
                "name": experiment.name,
                "hypothesis": experiment.hypothesis,
                "flagKey": experiment.config.flag.key,
                "status": experiment.status,
                "controlVariant": experiment.control_variant,
                "primaryMetric": experiment.primary_metric.key,
                "goal": experiment.primary_metric.goal,
                "method": experiment.method,
                "alpha": experiment.alpha,
                "correction": experiment.correction,
                "plannedUsers": experiment.planned_users,
                "startedAt": _text(experiment.started_at),
                "endedAt": _text(experiment.ended_at),
            },
            "window": {
                "since": _text(row.since),
                "until": _text(row.until),
                "asOf": _text(row.computed_at),
                "phase": phase.number,
                "weights": phase.weights,
                "frozen": row.is_final,
            },
            "configVersions": row.config_versions,
            "watermark": _text(row.watermark),
            "variants": [
                {
                    "key": key,
                    **dict.fromkeys(("users", "conversions", "rate", "mean", "total", "standardDeviation", "ci")),
                    "weight": weight / 10_000,
                    "isControl": key == experiment.control_variant,
                }
                for key, weight in phase.weights.items()
                if weight
            ],
            "metrics": [],
            "comparisons": [],
            "srm": {
                **nothing,
                "degreesOfFreedom": 0,
                "expected": {},
                "observed": {},
                "unexpectedUsers": None,
                "daily": [],
                "sequential": {"pValue": None, "logEvidence": None, "logLimit": None},
                "crossovers": {"users": None, "share": None, "pValue": None, "warning": False},
                "beforeBots": {**nothing, "observed": None, "reason": CHANGED},
            },
            "guardrails": [],
            "excluded": dict.fromkeys(("bots", "crossovers", "late")),
            "sensitivity": {"byFirstVariant": None},
            "recommendation": {
                "action": "do_not_trust",
                "reason": "data",
                "variant": None,
                "text": CHANGED,
                "reasons": [],
                "caveats": [],
            },
            "caveats": [CHANGED],
        },
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
