"""What the pipeline needs of a broker: five verbs, at-least-once delivery, and nothing lost with a process.

A broker holds packed batches between whoever takes events in and the ingest. What is taken and not done with is
delivered again, to whoever reclaims it; ids make each event count once all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

LONGEST_WAIT_SECONDS: Final = 0.5


class BrokerFullError(Exception):
    """The ingest is so far behind that the broker holds as many batches or bytes as it may; nothing was appended."""


class BrokerAwayError(Exception):
    """The broker cannot be reached. What was asked may have happened or not; asking again does no harm."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A packed batch in the hands of a consumer, until it is done; `receipt` is the broker's own name for it."""

    receipt: bytes
    payload: bytes


class Broker(Protocol):
    """One per process, for any thread. Every verb raises BrokerAwayError while the broker is away.

    `consumer` names who takes, among all processes: what it takes is its own until it is done or somebody reclaims it.
    """

    def append(self, payloads: Sequence[bytes], *, patient: bool = False) -> None:
        """Append all or none, within EVENT_STREAM_MAX_BATCHES and EVENT_STREAM_MAX_BYTES; else raise BrokerFullError.

        Right after a failure the broker is not asked again for a moment, unless `patient`: callers with another way to
        go take it at once.
        """

    def take(self, consumer: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        """Return up to `limit` batches that nobody has taken, the oldest first; wait for one at most so long.

        `wait_seconds` is at most LONGEST_WAIT_SECONDS.
        """

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Remove batches that are stored. Being done twice does no harm."""

    def reclaim(self, consumer: str, *, limit: int, idle_seconds: float) -> list[Delivery]:
        """Take over up to `limit` batches that another consumer took so long ago and is not done with."""

    def length(self) -> int:
        """Batches that are not done, whether taken or not."""

    def lag_seconds(self) -> float:
        """Age of the oldest batch that is not done; 0 when there is none."""

    def leave(self, consumer: str) -> None:
        """Forget a consumer that ends. What it took and is not done with stays there to be reclaimed."""
