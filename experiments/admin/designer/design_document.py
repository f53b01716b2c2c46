"""A design as the document that the API takes: of a new experiment, of a stored one, and as the page shows it."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from experiments.documents import experiment_resource
from experiments.models import Experiment, ExperimentMetric
from tenancy.console_kit.documents import ANY, as_json, shaped
from tenancy.console_kit.instants import TypedInstant

# The page shows at least so many rows for guardrails.
_GUARDRAIL_ROWS = 3
_GUARDRAIL: Final = {"metric": "", "marginPercent": "", "action": ExperimentMetric.Action.WARN.value}
_SHARE: Final = {"variant": "", "percent": ""}
_CONDITION: Final = {"attribute": "", "operator": "equals", "value": ANY}
_SHAPE: Final = {
    "key": "",
    "name": "",
    "hypothesis": "",
    "flagKey": "",
    "controlVariant": "",
    "layer": "",
    "trafficPercent": "",
    "audience": ANY,
    "allocation": [_SHARE],
    "priority": "",
    "primaryMetric": "",
    "secondaryMetrics": [""],
    "guardrails": [_GUARDRAIL],
    "analysis": {
        "method": Experiment.Method.ALWAYS_VALID.value,
        "alpha": "",
        "correction": Experiment.Correction.HOLM.value,
        "cuped": False,
        "plannedUsers": "",
        "winsorizePercent": "",
        "minimumEffect": "",
        "liftPriorStandardDeviation": "",
    },
    "breakdowns": [""],
    "autoPauseOnSrm": False,
    "startsAt": "",
    "endsAt": "",
}


class ShownGuardrail(TypedDict):
    metric: str
    marginPercent: str
    action: str


class ShownShare(TypedDict):
    variant: str
    percent: str


class ShownAnalysis(TypedDict):
    method: str
    alpha: str
    correction: str
    cuped: bool
    plannedUsers: str
    winsorizePercent: str
    minimumEffect: str
    liftPriorStandardDeviation: str


class ShownDesign(TypedDict):
    """A document as the template shows it: numbers and lists as text.

    `conditions` are the rows of the audience; None where rows cannot show it. `audience` is its JSON, and `shares` is
    that of the split, by variant: its rows follow the variants of the chosen flag.
    """

    key: str
    name: str
    hypothesis: str
    flagKey: str
    controlVariant: str
    layer: str
    trafficPercent: str
    audience: str
    conditions: list[dict[str, Any]] | None
    allocation: list[ShownShare]
    shares: str
    priority: str
    primaryMetric: str
    secondaryMetrics: list[str]
    guardrails: list[ShownGuardrail]
    analysis: ShownAnalysis
    breakdowns: str
    autoPauseOnSrm: bool
    startsAt: TypedInstant
    endsAt: TypedInstant


def new_document(flag_key: str = "") -> dict[str, Any]:
    return {"flagKey": flag_key, "trafficPercent": 100, "analysis": {"alpha": 0.05}}


def document_of(experiment: Experiment, names: Iterable[str]) -> dict[str, Any]:
    """Return these fields of a stored experiment, with instants as ISO text."""
    resource: Mapping[str, Any] = experiment_resource(experiment)
    return {name: _plain(resource[name]) for name in sorted(names)}


def design_of(document: dict[str, Any]) -> ShownDesign:
    """Return a document as the template shows it. Every field is there, whatever was sent."""
    found: dict[str, Any] = shaped(document, _SHAPE)
    empty = [dict(_GUARDRAIL) for _ in range(_GUARDRAIL_ROWS - len(found["guardrails"]))]
    shown: dict[str, Any] = {
        **found,
        "conditions": _conditions(found["audience"]),
        "audience": as_json(found["audience"]),
        "shares": json.dumps({share["variant"]: share["percent"] for share in found["allocation"]}),
        "breakdowns": ", ".join(found["breakdowns"]),
        "guardrails": [*found["guardrails"], *empty],
        "startsAt": _typed(found["startsAt"]),
        "endsAt": _typed(found["endsAt"]),
    }
    return cast(ShownDesign, shown)


def audience_of(design: ShownDesign) -> Any:
    """The audience's conditions; None where there are none, or what stands there is no JSON yet."""
    try:
        return json.loads(design["audience"]) if design["audience"] else None
    except ValueError:
        return None


def _conditions(audience: Any) -> list[dict[str, Any]] | None:
    """Rows can show conditions that must all hold. They cannot show groups of conditions."""
    if audience is None:
        return []
    items = audience.get("all") if isinstance(audience, dict) and audience.keys() == {"all"} else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and "operator" in item for item in items):
        return None
    rows: list[dict[str, Any]] = shaped(items, [_CONDITION])
    return rows


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(text: str) -> TypedInstant:
    try:
        return TypedInstant.of(datetime.fromisoformat(text)) if text else TypedInstant()
    except ValueError:
        return TypedInstant(text)
