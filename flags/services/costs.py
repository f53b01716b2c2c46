"""What an evaluation may cost: the size of compiled patterns and the number of conditions, told when they are written.

All tenants share the processes that evaluate, so one flag's rules may not take long.
"""

from collections.abc import Iterator
from typing import Any, Final

import re2

from tenancy.errors import Problem

# Instructions of RE2's program. `^[a-z]+@example\.com$` has about 20; a repetition counts as often as it repeats.
MOST_OF_PATTERN: Final = 2_000
# Of all patterns of one flag or segment.
MOST_OF_ALL_PATTERNS: Final = 10_000
MOST_CONDITIONS: Final = 2_000


def cost_problems(conditions: Any, attr: str) -> list[Problem]:
    """Return what is too expensive in rules or conditions that are valid; `attr` is their path."""
    problems, total, count = [], 0, 0
    for path, condition in _conditions(conditions, attr):
        count += 1
        if condition["operator"] != "matches" or not isinstance(condition.get("value"), str):
            continue
        size = _program_size(condition["value"])
        total += size
        if size > MOST_OF_PATTERN:
            detail = (
                f"This pattern compiles to {size:,} steps, and at most {MOST_OF_PATTERN:,} are taken. Shorten its "
                "repetitions, such as {500}, or its character classes."
            )
            problems.append(Problem(f"{path}.value", "too_complex", detail))
    if not problems and total > MOST_OF_ALL_PATTERNS:
        detail = f"Its patterns compile to {total:,} steps together, and at most {MOST_OF_ALL_PATTERNS:,} are taken."
        problems.append(Problem(attr, "too_complex", f"{detail} Use fewer or shorter ones."))
    if count > MOST_CONDITIONS:
        detail = f"There are {count:,} conditions, and at most {MOST_CONDITIONS:,} are taken. Use lists or segments."
        problems.append(Problem(attr, "too_complex", detail))
    return problems


def _conditions(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if "operator" in value:
            yield path, value
        else:
            for name, inner in value.items():
                yield from _conditions(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _conditions(inner, f"{path}[{index}]")


def _program_size(pattern: str) -> int:
    options = re2.Options()
    options.log_errors = False
    return int(re2.compile(pattern, options).programsize)
