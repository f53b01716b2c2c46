"""The document of a plan as it is sent and stored: checked here for the API, the console, templates and imports."""

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from flags.documents import basis_points_of
from rollouts.planner import Act, Step
from rollouts.planning.durations import format_duration, parse_duration
from tenancy.errors import Problem
from tenancy.refusals import NEEDS_ZONE, unknown_fields

MOST_STEPS: Final = 100
MOST_GUARDRAILS: Final = 10
LONGEST: Final = timedelta(days=366)
# How long a guardrail may be without data, and how long after a user's first exposure an event counts for it.
GRACE: Final = timedelta(hours=24)
WINDOW: Final = timedelta(hours=1)
LARGEST_MINIMUM: Final = 1_000_000_000
STEP_FIELDS: Final = ("percent", "after", "at", "approval", "minimumUsers", "guardrails")
GUARDRAIL_FIELDS: Final = ("metric", "marginPercent", "action", "grace", "window")
_CONDITIONS: Final = STEP_FIELDS[1:]


def read_steps(sent: Any, *, attr: str = "steps") -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the steps in the one form in which they are stored, and the problems of what was sent."""
    if not isinstance(sent, list) or not all(isinstance(item, Mapping) for item in sent):
        return [], [Problem(attr, "invalid_type", "Send a list of steps.")]
    if not 1 <= len(sent) <= MOST_STEPS:
        return [], [Problem(attr, "invalid_length", f"A plan has 1 to {MOST_STEPS} steps.")]
    steps: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, item in enumerate(sent):
        path = f"{attr}[{index}]"
        step, found = _read_step(item, path)
        problems += unknown_fields(item, STEP_FIELDS, within=path)
        problems += found
        steps.append(step)
    return steps, problems or _order_problems(steps, attr)


def _read_step(item: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Problem]]:
    problems: list[Problem] = []
    step: dict[str, Any] = {}
    share = basis_points_of(item.get("percent"))
    if share is None or not share:
        problems.append(
            Problem(
                f"{path}.percent", "invalid_percent", "Give a number above 0, at most 100, with at most two decimals."
            )
        )
    step["percent"] = item.get("percent")
    if item.get("after") is not None:
        step["after"], found = _read_duration(item["after"], f"{path}.after")
        problems += found
    if item.get("at") is not None:
        step["at"], found = read_instant(item["at"], f"{path}.at")
        problems += found
    if (approval := item.get("approval")) is not None:
        if not isinstance(approval, bool):
            problems.append(Problem(f"{path}.approval", "invalid_type", "Send true or false."))
        elif approval:
            step["approval"] = True
    if (minimum := item.get("minimumUsers")) is not None:
        if isinstance(minimum, bool) or not isinstance(minimum, int) or not 0 <= minimum <= LARGEST_MINIMUM:
            problems.append(Problem(f"{path}.minimumUsers", "out_of_range", "Give a whole number from 0 on."))
        elif minimum:
            step["minimumUsers"] = minimum
    if item.get("guardrails"):
        step["guardrails"], found = _read_guardrails(item["guardrails"], f"{path}.guardrails")
        problems += found
    return step, problems


def _read_duration(sent: Any, path: str, *, least: timedelta = timedelta()) -> tuple[Any, list[Problem]]:
    duration = parse_duration(sent) if isinstance(sent, str) else None
    if duration is None:
        remedy = "Give an ISO 8601 duration of days, hours, minutes and seconds, such as P1D or PT90M."
        return sent, [Problem(path, "invalid_duration", remedy)]
    if not least <= duration <= LONGEST:
        return sent, [
            Problem(path, "out_of_range", f"Give from {format_duration(least)} to {format_duration(LONGEST)}.")
        ]
    return format_duration(duration), []


def read_instant(sent: Any, path: str) -> tuple[Any, list[Problem]]:
    """Return an instant as text in UTC. One without a zone is refused: it could be meant in any."""
    found = sent if isinstance(sent, datetime) else None
    if isinstance(sent, str):
        try:
            found = parse_datetime(sent)
        except ValueError:
            found = None
    if found is None or found.tzinfo is None:
        return sent, [Problem(path, "invalid", NEEDS_ZONE)]
    if not 1970 <= found.year <= 2100:
        return sent, [Problem(path, "out_of_range", "Use an instant from 1970 to 2100.")]
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z"), []


def _read_guardrails(sent: Any, path: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    if not isinstance(sent, list) or not all(isinstance(item, Mapping) for item in sent):
        return [], [Problem(path, "invalid_type", "Send a list of guardrails.")]
    if len(sent) > MOST_GUARDRAILS:
        return [], [Problem(path, "max_length", f"A step has at most {MOST_GUARDRAILS} guardrails.")]
    found: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, item in enumerate(sent):
        at = f"{path}[{index}]"
        problems += unknown_fields(item, GUARDRAIL_FIELDS, within=at)
        metric, margin, action = (item.get(name) for name in GUARDRAIL_FIELDS[:3])
        if not isinstance(metric, str) or not metric:
            problems.append(Problem(f"{at}.metric", "required", "Name the metric by its key."))
        elif any(other["metric"] == metric for other in found):
            problems.append(Problem(f"{at}.metric", "duplicate", f"{metric!r} appears twice; give it one margin."))
        if (
            isinstance(margin, bool)
            or not isinstance(margin, (int, float))
            or not 0 < margin <= 1000
            or math.isnan(margin)
        ):
            problems.append(Problem(f"{at}.marginPercent", "out_of_range", "Give a margin above 0, at most 1000."))
        if action not in list(Act):
            problems.append(Problem(f"{at}.action", "invalid_choice", f"Use one of: {', '.join(Act)}."))
        read = {"metric": metric, "marginPercent": margin, "action": action}
        for name, default in (("grace", GRACE), ("window", WINDOW)):
            if item.get(name) is not None:
                read[name], wrong = _read_duration(item[name], f"{at}.{name}", least=timedelta(minutes=1))
                problems += wrong
            else:
                read[name] = format_duration(default)
        found.append(read)
    return found, problems


def _order_problems(steps: Sequence[Mapping[str, Any]], attr: str) -> list[Problem]:
    problems: list[Problem] = []
    if "minimumUsers" in steps[0]:
        problems.append(
            Problem(
                f"{attr}[0].minimumUsers",
                "invalid",
                "Nobody has it before the first step; ask it of the step after it.",
            )
        )
    instants = [(index, step["at"]) for index, step in enumerate(steps) if "at" in step]
    for (_, earlier), (index, later) in itertools.pairwise(instants):
        if datetime.fromisoformat(later) <= datetime.fromisoformat(earlier):
            problems.append(
                Problem(f"{attr}[{index}].at", "not_ascending", "Give an instant after that of the step before.")
            )
    for index, (step, following) in enumerate(itertools.pairwise(steps), 1):
        if following["percent"] <= step["percent"]:
            problems.append(Problem(f"{attr}[{index}].percent", "not_ascending", "Each step raises the share."))
        is_watched = "guardrails" in step
        if not is_watched and not any(name in following for name in _CONDITIONS):
            remedy = f"Say what must be true before it: one of {', '.join(_CONDITIONS)}."
            problems.append(Problem(f"{attr}[{index}]", "required", remedy))
    return problems


def steps_of(document: Sequence[Mapping[str, Any]], *, waits_for_environment: bool = False) -> list[Step]:
    """Return stored steps as the planner takes them."""
    return [
        Step(
            after=parse_duration(item["after"]) if "after" in item else None,
            at=datetime.fromisoformat(item["at"]) if "at" in item else None,
            needs_approval=item.get("approval", False),
            minimum_users=item.get("minimumUsers", 0),
            is_guarded="guardrails" in item,
            needs_environment=waits_for_environment and not index,
        )
        for index, item in enumerate(document)
    ]


def guardrails_on(document: Sequence[Mapping[str, Any]], step: int) -> list[Mapping[str, Any]]:
    """Return what is watched while `step` (from 1) stands: its own guardrails, and those of the step after it."""
    found: dict[str, Mapping[str, Any]] = {}
    for item in document[max(step - 1, 0) : step + 1] if step else ():
        for guardrail in item.get("guardrails", ()):
            found.setdefault(guardrail["metric"], guardrail)
    return list(found.values())


def judgements_in(document: Sequence[Mapping[str, Any]]) -> int:
    """How many times a plan judges a guardrail at the most: its error of 5 % is shared among them."""
    return max(1, sum(len(guardrails_on(document, step)) for step in range(1, len(document))))
