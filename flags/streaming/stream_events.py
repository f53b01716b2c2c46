"""What a stream sends, encoded once however many clients there are."""

from functools import cached_property
from typing import Any

import orjson
from openflagship.wire import sse

from flags.versions.steps import Step


class StreamEvent:
    """One event in both its forms: `sse`, and `frame` for WebSockets.

    `version` is its id. An event that `is_ahead` has none: it is to be applied at once, and the steps before it and it
    itself follow in their order. `signatures` are of the data, one for each valid key; who does not know the field
    passes over it, as the HTML standard says.
    """

    def __init__(
        self, version: int, kind: str, data: bytes, *, is_ahead: bool = False, signatures: tuple[str, ...] = ()
    ) -> None:
        self.version = version
        self.kind = kind
        self.is_ahead = is_ahead
        self.signatures = signatures
        self.sse = sse.event(kind, data, event_id=None if is_ahead else version, signatures=signatures)
        self.body = data

    @cached_property
    def frame(self) -> str:
        version = "null" if self.is_ahead else str(self.version)
        signed = f',"signatures":{orjson.dumps(self.signatures).decode()}' if self.signatures else ""
        return f'{{"event":"{self.kind}","version":{version}{signed},"data":{self.body.decode()}}}'


def event_of(step: Step, *, is_ahead: bool = False) -> StreamEvent:
    """The changed flag or segment itself; of one that is no longer served, its key."""
    data: dict[str, Any] = step.document if step.document is not None else {"key": step.key, "deleted": True}
    return StreamEvent(step.version, step.kind, orjson.dumps(data), is_ahead=is_ahead)
