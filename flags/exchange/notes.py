"""Notes on what an import from another product lost."""

from typing import Any


class Notes:
    """Collects what could not be imported."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def add(self, entity: str, key: str | None, detail: str) -> None:
        self.found.append({"entity": entity, "key": key, "detail": detail})


class NotExpressibleError(Exception):
    """A condition has no counterpart here, so the rule or segment that has it must be left out."""
