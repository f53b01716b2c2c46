"""The charts of a plan's page: the share over time with what comes next, and the guardrails' intervals."""

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from rollouts.documents import anchor_share, percent_now
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import Outcome, foreseen
from rollouts.planning.plan_fields import MOST_STEPS
from rollouts.services.stepping import approvals_of, planned
from tenancy.console_kit.charts import ForestChart, Interval, LineChart
from tenancy.console_kit.formats import moment

_MOST_INTERVALS = 40
_CHANGES = frozenset({"started", "step", "rolled_back", "resumed"})


def share_over_time(plan: RolloutPlan, part: RolloutPart) -> LineChart | None:
    """The share that was served, and the steps to come where time alone decides."""
    if plan.started_at is None:
        return None
    before = anchor_share(part) / 100
    points: list[tuple[datetime, float, str]] = []
    share = before
    for line in plan.history:
        if line["act"] in _CHANGES:
            share = before if line["act"] in {"started", "rolled_back"} or line["percent"] is None else line["percent"]
            points.append((datetime.fromisoformat(line["at"]), float(share), line["act"].replace("_", " ")))
    points.append((timezone.now(), float(percent_now(part)), "now"))
    ahead = to_come(plan)
    # A picture shows text; the table below it has instants in the reader's zone.
    labels = [
        f"{at.astimezone(UTC):%d %b, %H:%M} UTC" for at in (*(at for at, _, _ in points), *(at for at, _ in ahead))
    ]
    served: list[float | None] = [percent / 100 for _, percent, _ in points] + [None] * len(ahead)
    planned: list[float | None] = [None] * (len(points) - 1)
    planned += [percent / 100 for percent in (points[-1][1], *(percent for _, percent in ahead))]
    return {
        "title": "Share over time",
        "description": f"{points[-1][1]:g} % now, {len(ahead)} steps to come by time.",
        "labels": labels,
        "unit": "percent",
        "series": [{"name": "served", "values": served}, {"name": "to come", "values": planned}],
        "table": {
            "head": ["When", "Share", "What"],
            "rows": [[moment(at), f"{percent:g} %", what] for at, percent, what in points]
            + [[moment(at), f"{percent:g} %", "to come"] for at, percent in ahead],
        },
    }


def to_come(plan: RolloutPlan, *, most: int = MOST_STEPS) -> list[tuple[datetime, float]]:
    """The steps to come and their times, up to the first that waits for something else; `most` of them."""
    if plan.state != RolloutPlan.State.RUNNING or plan.next_step_at is None:
        return []
    coming = foreseen(planned(plan), approvals_of(plan), most=most)
    now = timezone.now()
    return [(max(passed.at, now), float(plan.steps[passed.number - 1]["percent"])) for passed in coming]


def guardrail_intervals(plan: RolloutPlan) -> ForestChart | None:
    """The difference of each guardrail with the interval that holds at every look, as each step saw it the last time.

    Of a long plan the latest ones.
    """
    said: dict[tuple[int, str, str], dict[str, Any]] = {}
    standing = {"step": plan.current_step, "verdicts": plan.verdicts}
    for step in (*plan.history, standing):
        said |= {(step["step"], line["flagKey"], line["metric"]): line for line in step.get("verdicts", ())}
    drawn: list[Interval] = [
        {
            "name": f"{metric} ({key}), step {number}" if number else f"{metric} ({key})",
            "estimate": line["difference"],
            "low": line["interval"][0],
            "high": line["interval"][1],
            "css": "is-bad" if line["outcome"] == Outcome.VIOLATED else "",
        }
        for (number, key, metric), line in said.items()
        if _is_drawn(line)
    ]
    if not drawn:
        return None
    rows = drawn[-_MOST_INTERVALS:]
    return {
        "title": "Guardrails",
        "description": "Difference between the share with the variant and the rest on each step, with intervals.",
        "unit": "number",
        "rows": rows,
        "table": {
            "head": ["Metric", "Difference", "From", "To"],
            "rows": [[row["name"], *(f"{row[name]:.4g}" for name in ("estimate", "low", "high"))] for row in rows],
        },
    }


def _is_drawn(line: dict[str, Any]) -> bool:
    return line.get("interval", [None])[0] is not None and line["interval"][1] is not None
