"""A plan's steps in words, one a line: `10 % now`, `25 % after 1 day`, `100 % with approval`."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from rollouts.planning.durations import duration_in_words, format_duration, parse_duration
from tenancy.errors import Problem

EXAMPLE: Final = "10 % now\n25 % tomorrow\n50 % after 2 days with 500 users\n100 % after 1 day with approval"
_NUMBER: Final = r"\d{1,3}(?:[.,]\d{1,2})?"
_LINE: Final = re.compile(rf"(?P<percent>{_NUMBER})\s*%\s*(?P<rest>.*)\Z")
# A comma before a share begins a step, except within a number: 10,5 %.
_BETWEEN: Final = re.compile(rf"[\n;]|(?<!\d),(?=\s*{_NUMBER}\s*%)|,(?=\s+{_NUMBER}\s*%)")
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_COUNT: Final = rf"(\d{{1,5}}) ({'|'.join(_UNITS)})s?\b"
# Up to this a duration is told in one unit: 36 hours.
_MOST_OF_ONE_UNIT: Final = 1_000
_CLOCK: Final = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_AND: Final = r"(?:,? and |, | )"
_PARTS: Final = (
    ("now", re.compile(r"now\b")),
    ("tomorrow", re.compile(r"(?:tomorrow|a day later|the day after)\b")),
    ("after", re.compile(rf"after (?P<duration>{_COUNT}(?:{_AND}{_COUNT}){{0,4}})")),
    ("at", re.compile(rf"at (?P<day>\d{{4}}-\d\d-\d\d)[t ](?P<clock>{_CLOCK}) ?(?P<zone>z|utc|[+-]\d\d:?\d\d)?")),
    ("approval", re.compile(r"with (?:an )?approval\b")),
    ("users", re.compile(r"with (?P<users>\d{1,10}) users?\b")),
)


def read_words(text: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the steps as the API takes them, and the problems by line. Instants without a zone are in UTC."""
    steps: list[dict[str, Any]] = []
    problems: list[Problem] = []
    lines = [part.strip() for part in _BETWEEN.split(text) if part.strip()]
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
    told: set[str] = set()
    rest = text.strip().lower()
    while rest:
        found = next(((name, match) for name, pattern in _PARTS if (match := pattern.match(rest))), None)
        if found is None:
            return None
        name, match = found
        about = "after" if name in {"now", "tomorrow"} else name
        if about in told:
            return None
        told.add(about)
        if name == "tomorrow":
            step["after"] = "P1D"
        elif name == "after":
            counts = re.findall(_COUNT, match["duration"])
            step["after"] = format_duration(timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in counts)))
        elif name == "at":
            zone = match["zone"] or "z"
            step["at"] = f"{match['day']}T{match['clock']}{'Z' if zone in {'z', 'utc'} else zone}"
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
    """In one unit, if the number is short."""
    seconds = int(duration.total_seconds())
    for unit in ("day", "hour", "minute"):
        count, left = divmod(seconds, _UNITS[unit])
        if 0 < count < _MOST_OF_ONE_UNIT and not left:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return duration_in_words(duration)


def all_in_words(steps: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(in_words(step) for step in steps)
