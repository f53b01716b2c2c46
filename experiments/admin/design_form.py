"""The designer's form: from a stored design to what is typed, and back to what the services take."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from django.http import QueryDict

from experiments.admin.audience_rows import ConditionRow, condition_rows, conditions_of, sent_rows
from experiments.documents import experiment_resource
from experiments.models import Experiment, ExperimentMetric
from tenancy.console_kit.instants import TypedInstant
from tenancy.errors import Invalid, Problem

GUARDRAIL_ROWS = 3
_PLAN = {"baseline": "", "sd": "", "effect": "10", "power": "80"}
_TEXTS = ("name", "hypothesis", "flagKey", "controlVariant", "split", "trafficPercent", "layer", "primaryMetric")
_ANALYSIS_TEXTS = ("method", "alpha", "plannedUsers", "correction", "winsorizePercent")
_MORE_TEXTS = ("newEvent", "breakdowns", *_ANALYSIS_TEXTS)
_INSTANTS = ("startsAt", "endsAt")
# Which part of the form a field of the payload stands in; texts stand under its own name.
_PARTS = {
    "secondaryMetrics": "secondary",
    "guardrails": "guardrails",
    "audience": "audience",
    "autoPauseOnSrm": "auto_pause",
}


@dataclass(slots=True)
class Design:
    """What the page shows and sends; texts as they are typed, by the API's names."""

    texts: dict[str, str] = field(default_factory=dict)
    instants: dict[str, TypedInstant] = field(default_factory=lambda: dict.fromkeys(_INSTANTS, TypedInstant()))
    secondary: list[str] = field(default_factory=list)
    guardrails: list[dict[str, str]] = field(default_factory=list)
    audience: list[ConditionRow] = field(default_factory=list)
    is_cuped: bool = False
    auto_pause: bool = False
    plan: dict[str, str] = field(default_factory=lambda: dict(_PLAN))
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "Design":
        texts = {"trafficPercent": "100", "alpha": "0.05"}
        return cls(texts={**texts, "method": Experiment.Method.ALWAYS_VALID, "correction": Experiment.Correction.HOLM})

    @classmethod
    def of(cls, experiment: Experiment) -> "Design":
        resource = experiment_resource(experiment)
        analysis = resource["analysis"]
        audience = (resource["audience"] or {}).get("all", [])
        return cls(
            texts={
                "name": resource["name"],
                "hypothesis": resource["hypothesis"],
                "flagKey": resource["flagKey"],
                "controlVariant": resource["controlVariant"],
                "trafficPercent": str(resource["trafficPercent"]),
                "layer": resource["layer"] or "",
                "primaryMetric": resource["primaryMetric"],
                "method": analysis["method"],
                "alpha": str(analysis["alpha"]),
                "plannedUsers": str(analysis["plannedUsers"] or ""),
                "correction": analysis["correction"],
                "winsorizePercent": str(analysis.get("winsorizePercent", "")),
                "breakdowns": ", ".join(resource["breakdowns"]),
            },
            instants={
                "startsAt": TypedInstant.of(resource["startsAt"]),
                "endsAt": TypedInstant.of(resource["endsAt"]),
            },
            secondary=resource["secondaryMetrics"],
            guardrails=[
                {"metric": row["metric"], "marginPercent": str(row["marginPercent"]), "action": row["action"]}
                for row in resource["guardrails"]
            ],
            audience=condition_rows([item for item in audience if "operator" in item]),
            is_cuped=analysis["cuped"],
            auto_pause=resource["autoPauseOnSrm"],
        )

    @classmethod
    def sent(cls, post: QueryDict) -> "Design":
        return cls(
            texts={name: (post.get(name) or "").strip() for name in (*_TEXTS, *_MORE_TEXTS)},
            instants={name: TypedInstant.sent(post, name) for name in _INSTANTS},
            secondary=post.getlist("secondaryMetrics"),
            guardrails=[
                {
                    name: (post.get(f"guardrail-{row}-{name}") or "").strip()
                    for name in ("metric", "marginPercent", "action")
                }
                for row in range(_rows_sent(post))
            ],
            audience=[row for row in sent_rows(post) if row.attribute or row.value],
            is_cuped="cuped" in post,
            auto_pause="autoPauseOnSrm" in post,
            plan={name: (post.get(f"plan-{name}") or "").strip() for name in _PLAN},
        )

    def payload(self) -> tuple[dict[str, Any], list[Problem]]:
        """Return what the services take, and what cannot be read."""
        problems: list[Problem] = []
        texts = self.texts
        audience = conditions_of(self.audience, "audience", problems)
        payload: dict[str, Any] = {
            "name": texts["name"],
            "hypothesis": texts["hypothesis"],
            "flagKey": texts["flagKey"],
            "primaryMetric": texts["primaryMetric"],
            "trafficPercent": _number(texts["trafficPercent"] or "100", "trafficPercent", problems),
            "layer": texts["layer"] or None,
            "audience": {"all": audience} if audience else None,
            "secondaryMetrics": self.secondary,
            "guardrails": [
                {
                    "metric": row["metric"],
                    "marginPercent": _number(row["marginPercent"] or "0", f"guardrails[{index}]", problems),
                    "action": row["action"] or ExperimentMetric.Action.WARN,
                }
                for index, row in enumerate(row for row in self.guardrails if row["metric"])
            ],
            "analysis": {
                "method": texts["method"],
                "alpha": _number(texts["alpha"] or "0.05", "analysis.alpha", problems),
                "cuped": self.is_cuped,
                "plannedUsers": _whole(texts["plannedUsers"], "analysis.plannedUsers", problems),
                "correction": texts["correction"] or Experiment.Correction.HOLM,
                "winsorizePercent": _number(texts["winsorizePercent"], "analysis.winsorizePercent", problems)
                if texts["winsorizePercent"]
                else None,
            },
            "breakdowns": [name for name in (part.strip() for part in texts["breakdowns"].split(",")) if name],
            "autoPauseOnSrm": self.auto_pause,
            **{name: _moment(typed, name, problems) for name, typed in self.instants.items()},
        }
        if texts["controlVariant"]:
            payload["controlVariant"] = texts["controlVariant"]
        return payload, problems

    def take(self, other: "Design", names: Iterable[str]) -> None:
        """Take the other's version of these fields of the payload."""
        for name in names:
            if name == "analysis":
                self.texts |= {text: other.texts[text] for text in _ANALYSIS_TEXTS}
                self.is_cuped = other.is_cuped
            elif name in _INSTANTS:
                self.instants[name] = other.instants[name]
            elif name in _PARTS:
                setattr(self, _PARTS[name], getattr(other, _PARTS[name]))
            else:
                self.texts[name] = other.texts.get(name, "")

    def place(self, problems: list[Problem]) -> None:
        for problem in problems:
            path = (
                re.sub(r"[.\[].*", "", problem.attr or "") if "analysis" not in (problem.attr or "") else problem.attr
            )
            self.errors.setdefault((path or "").replace("analysis.", ""), []).append(problem.detail)


def _rows_sent(post: QueryDict) -> int:
    """As many guardrails as the page had, which may be more than an empty one shows."""
    return next(row for row in count() if row >= GUARDRAIL_ROWS and f"guardrail-{row}-metric" not in post)


def plain_number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _number(text: str, attr: str, problems: list[Problem]) -> float:
    value = plain_number(text)
    if value is None:
        problems.append(Problem(attr, "invalid", f"{text!r} is no number; write it like 12.5."))
        return 0
    return int(value) if value.is_integer() else value


def _whole(text: str, attr: str, problems: list[Problem]) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        problems.append(Problem(attr, "invalid", "Give a whole number of users, or leave it empty."))
        return None
    return int(text)


def _moment(typed: TypedInstant, attr: str, problems: list[Problem]) -> datetime | None:
    try:
        return typed.read(attr)
    except Invalid as refusal:
        problems += refusal.problems
        return None
