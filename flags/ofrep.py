"""OpenFeature's remote evaluation protocol (OFREP 0.3) over the same evaluation as our own API.

A switched-off flag is a success with reason DISABLED and its off variant. Staleness travels in the metadata, since the
protocol has no reason for it.
"""

from typing import Any

from openflagship.serving import MAX_ATTRIBUTE_BYTES, OfrepBulk, OfrepError

from flags.evaluation import Caller, desk_of

__all__ = ["OfrepError", "bulk", "evaluate"]


def evaluate(caller: Caller, key: str, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> tuple[int, bytes]:
    """Evaluate one flag, log the exposure, return status and JSON. Raises OfrepError for a body that cannot be used."""
    return desk_of(caller).ofrep(key, body, caller, size)


def bulk(caller: Caller, body: Any, size: int = MAX_ATTRIBUTE_BYTES) -> OfrepBulk:
    """Every flag for one context; exposures are logged once it is really sent. Raises OfrepError."""
    return desk_of(caller).ofrep_all(body, size)
