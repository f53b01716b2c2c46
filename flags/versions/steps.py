"""A step of an environment's version log: read from a row, sent as a message, applied by every process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from flags.models import Change


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an environment's version log. `at` is its time in Unix milliseconds."""

    environment_id: int
    version: int
    kind: str
    entity: str
    key: str
    document: dict[str, Any] | None
    at: int

    @classmethod
    def of_change(cls, change: Change) -> "Step":
        return cls(
            environment_id=change.environment_id,
            version=change.version,
            kind=str(change.kind),
            entity=str(change.entity),
            key=change.key,
            document=change.document,
            at=int(change.created_at.timestamp() * 1000),
        )

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> "Step":
        """Read a message. Raises KeyError, TypeError or ValueError if it is not a step."""
        return cls(
            environment_id=int(message["environment"]),
            version=int(message["version"]),
            kind=message["kind"],
            entity=message["entity"],
            key=message["key"],
            document=message["document"],
            at=int(message["at"]),
        )

    @property
    def is_kill(self) -> bool:
        """Whether this is a kill or the release of one."""
        return self.kind == Change.Kind.KILL_SWITCH

    def message(self) -> bytes:
        return orjson.dumps(
            {
                "environment": self.environment_id,
                "version": self.version,
                "kind": self.kind,
                "entity": self.entity,
                "key": self.key,
                "document": self.document,
                "at": self.at,
            }
        )


def steps_of(changes: Iterable[Change]) -> list[Step]:
    return [Step.of_change(change) for change in changes]
