"""OpenFeature's remote evaluation protocol (OFREP 0.3), with the evaluation of our own API.

A flag that is off is a success with reason DISABLED and its off variant. The protocol has no reason for staleness, so
the metadata carries it.
"""

from typing import Any

import orjson
from openflagship.wire.answers import EXPOSURES_OF_EXPERIMENTS, OfrepBulk
from openflagship.wire.bodies import MAX_ATTRIBUTE_BYTES, OfrepError

from flags.evaluation.answers import Caller, responder_of
from flags.streaming.ofrep import url_for

__all__ = ["OfrepError", "bulk", "evaluate", "send"]


def evaluate(caller: Caller, key: str, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes]:
    """Evaluate one flag, log the exposure, and return status and JSON. Raises OfrepError for an unusable body."""
    return responder_of(caller).ofrep(key, body, caller, size)


def send(caller: Caller, found: OfrepBulk, *, exposures: str = EXPOSURES_OF_EXPERIMENTS) -> bytes:
    """Log the exposures that are asked for and return the body, which names the stream that tells of changes."""
    url = orjson.dumps(url_for(caller.credential, found.version))
    return found.send(caller, b',"eventStreams":[{"type":"sse","url":' + url + b"}]", exposures=exposures)


def bulk(caller: Caller, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> OfrepBulk:
    """Evaluate every flag for one context. Exposures are logged once the answer is really sent. Raises OfrepError."""
    return responder_of(caller).ofrep_all(body, size)
