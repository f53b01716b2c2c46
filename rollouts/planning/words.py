"""A plan's steps in words, one a line: `10 % now`, `25 % after 1 day`, `100 % with approval`."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from rollouts.planning.durations import duration_in_words, format_duration, parse_duration
from tenancy.errors import Problem

EXAMPLE: Final = "10 % now\n25 % tomorrow\n50 % after 2 days with 500 users\n100 % after 1 day with approval"
_LINE: Final = re.compile(r"(?P<percent>\d{1,3}(?:[.,]\d{1,2})?)\s*%\s*(?P<rest>.*)\Z")
_UNITS: Final = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_PARTS: Final = (
    ("now", re.compile(r"now\b")),
    ("tomorrow", re.compile(r"(?:tomorrow|a day later|the day after)\b")),
    ("after", re.compile(r"after (?P<count>\d{1,5}) (?P<unit>minute|hour|day|week)s?\b")),
    ("at", re.compile(r"at (?P<instant>\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:z|[+-]\d\d:?\d\d)?)")),
    ("approval", re.compile(r"with (?:an )?approval\b")),
    ("users", re.compile(r"with (?P<users>\d{1,9}) users?\b")),
)


def read_words(text: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the steps as the API takes them, and the problems by line. Instants without a zone are in UTC."""
    steps: list[dict[str, Any]] = []
    problems: list[Problem] = []
    lines = [part.strip() for part in re.split(r"[\n;]|,(?=\s*\d)", text) if part.strip()]
    for number, line in enumerate(lines, 1):
        match = _LINE.match(line)
        step = _read_rest(match["rest"]) if match else None
        if match is None or step is None:
            problems.append(
                Problem(
                    "steps",
                    "invalid",
                    f"Line {number} ({line[:60]!r}) is not understood; write it as 25 % after 1 day.",
                )
            )
            continue
        percent = float(match["percent"].replace(",", "."))
        steps.append({"percent": int(percent) if percent.is_integer() else percent, **step})
    return steps, problems


def _read_rest(text: str) -> dict[str, Any] | None:
    step: dict[str, Any] = {}
    rest = text.strip().lower()
    while rest:
        found = next(((name, match) for name, pattern in _PARTS if (match := pattern.match(rest))), None)
        if found is None:
            return None
        name, match = found
        if name == "tomorrow":
            step["after"] = "P1D"
        elif name == "after":
            step["after"] = format_duration(timedelta(seconds=int(match["count"]) * _UNITS[match["unit"]]))
        elif name == "at":
            instant = match["instant"].upper().replace(" ", "T")
            step["at"] = instant if re.search(r"(Z|[+-]\d\d:?\d\d)\Z", instant) else f"{instant}Z"
        elif name == "approval":
            step["approval"] = True
        elif name == "users":
            step["minimumUsers"] = int(match["users"])
        rest = re.sub(r"\A[\s,]*(?:and\b)?\s*", "", rest[match.end() :])
    return step


def proposed(begin: float, target: float = 100) -> str:
    """Steps from the share that is there to the one that is wanted, a day each."""
    shares = [share for share in (10, 25, 50) if begin < share < target]
    return "\n".join(f"{share:g} % {'tomorrow' if number else 'now'}" for number, share in enumerate([*shares, target]))


def in_words(step: Mapping[str, Any]) -> str:
    """One step as its line."""
    parts = [f"{step['percent']:g} %"]
    duration = parse_duration(step["after"]) if "after" in step else None
    if duration is not None:
        parts.append("now" if not duration else f"after {_counted(duration)}")
    if "at" in step:
        parts.append(f"at {step['at']}")
    if step.get("minimumUsers"):
        parts.append(f"with {step['minimumUsers']} users")
    if step.get("approval"):
        parts.append("with approval")
    return " ".join(parts)


def _counted(duration: timedelta) -> str:
    """In one unit, so that it can be read again."""
    seconds = int(duration.total_seconds())
    for unit in ("day", "hour", "minute"):
        count, left = divmod(seconds, _UNITS[unit])
        if count and not left:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return duration_in_words(duration)


def all_in_words(steps: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(in_words(step) for step in steps)
