"""What is counted together: evaluations of flags, and of keys that no flag has, up to one moment."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

API, OFREP, SDK, EDGE = "api", "ofrep", "sdk", "edge"
MAX_KEY_CHARACTERS = 200


class Source(NamedTuple):
    """Who evaluates: through which surface, under which name, and with which SDK ("python/0.1.0")."""

    environment_id: int
    kind: str
    service: str
    sdk: str = ""


class Counted(NamedTuple):
    """What one number is of."""

    source: Source
    flag_key: str
    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class UsageBatch:
    """Counted once under its id, which is one of its environment; 0: of the server's own, of any environments."""

    id: str
    at: datetime
    flags: Mapping[Counted, int]
    unknown: Mapping[tuple[Source, str], int] = field(default_factory=Counter)
    environment_id: int = 0

    def __len__(self) -> int:
        return len(self.flags) + len(self.unknown)


def storable(key: str) -> str:
    """The key as PostgreSQL can store it, and no longer than a flag's may be."""
    return key[:MAX_KEY_CHARACTERS].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
