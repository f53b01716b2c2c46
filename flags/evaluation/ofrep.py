"""OpenFeature's remote evaluation protocol (OFREP 0.3) over the same evaluation as our own API.

A switched-off flag is a success with reason DISABLED and its off variant. Staleness travels in the metadata, since the
protocol has no reason for it.
"""

from typing import Any

import orjson
from openflagship.wire.answers import OfrepBulk
from openflagship.wire.bodies import MAX_ATTRIBUTE_BYTES, OfrepError

from flags.evaluation.answers import Caller, responder_of
from flags.streaming.ofrep import url_for

__all__ = ["OfrepError", "bulk", "evaluate", "send"]


def evaluate(caller: Caller, key: str, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes]:
    """Evaluate one flag, log the exposure, return status and JSON. Raises OfrepError for a body that cannot be used."""
    return responder_of(caller).ofrep(key, body, caller, size)


def send(caller: Caller, found: OfrepBulk) -> bytes:
    """Log the exposures and return the body, which names the stream that tells of changes."""
    url = orjson.dumps(url_for(caller.credential))
    return found.send(caller, b',"eventStreams":[{"type":"sse","url":' + url + b"}]")


def bulk(caller: Caller, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> OfrepBulk:
    """Every flag for one context; exposures are logged once it is really sent. Raises OfrepError."""
    return responder_of(caller).ofrep_all(body, size)
