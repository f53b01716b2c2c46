"""The templates that every organization has."""

from typing import Any, Final


def _steps(percents: tuple[int, ...], after: str, **last: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"percent": percents[0]}]
    found += [{"percent": percent, "after": after} for percent in percents[1:]]
    found[-1] |= last
    return found


BUILT_IN: Final[dict[str, dict[str, Any]]] = {
    "daily": {
        "key": "daily",
        "name": "1-5-10-25-50-100, a day each",
        "steps": _steps((1, 5, 10, 25, 50, 100), "P1D"),
    },
    "hourly": {"key": "hourly", "name": "10-50-100, an hour each", "steps": _steps((10, 50, 100), "PT1H")},
    "careful": {
        "key": "careful",
        "name": "careful: 1-5-25-100 with approval before 100",
        "steps": _steps((1, 5, 25, 100), "P1D", approval=True),
    },
}
