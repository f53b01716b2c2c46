"""The kinds of events that a stream carries: the one list for the server, the edge and the SDK.

A kind's name is what travels, so it never changes. A new kind is one entry here; an SDK that does not know it skips the
event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ENVIRONMENT: Final = "environment"
FLAG: Final = "flag"
SEGMENT: Final = "segment"

SNAPSHOT: Final = "snapshot"
FLAG_UPDATED: Final = "flag_updated"
FLAG_ARCHIVED: Final = "flag_archived"
KILL_SWITCH: Final = "kill_switch"
SEGMENT_UPDATED: Final = "segment_updated"


@dataclass(frozen=True, slots=True)
class StreamKind:
    """One kind of event. `subject` says what the data is: an environment, a flag or a segment."""

    name: str
    subject: str
    meaning: str


STREAM_KINDS: Final[Mapping[str, StreamKind]] = {
    kind.name: kind
    for kind in (
        StreamKind(SNAPSHOT, ENVIRONMENT, "The whole configuration. It replaces what the client has."),
        StreamKind(FLAG_UPDATED, FLAG, "The flag's document after a change."),
        StreamKind(FLAG_ARCHIVED, FLAG, "The flag is no longer served. The data holds its key alone."),
        StreamKind(KILL_SWITCH, FLAG, "The flag's document after a kill or its release. A client applies it at once."),
        StreamKind(SEGMENT_UPDATED, SEGMENT, "The segment's document after a change, or its key after its removal."),
    )
}


def kinds_of(subject: str) -> frozenset[str]:
    """The names of the kinds whose data is this subject."""
    return frozenset(kind.name for kind in STREAM_KINDS.values() if kind.subject == subject)


FLAG_KINDS: Final = kinds_of(FLAG)
SEGMENT_KINDS: Final = kinds_of(SEGMENT)
