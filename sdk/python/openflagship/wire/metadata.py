"""What OFREP's answers say in their metadata, from the server, from an edge and from a service that writes a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from openflagship.engine import Answer
from openflagship.engine.model import EXPOSURES_OF_EXPERIMENTS

# Of a flag's own metadata, these would be taken for what the platform says.
_OWN_NAMES: Final = frozenset({"evaluationId", "bucketBy", "exposures", "experiment", "ruleId", "stale"})


def metadata_of(document: Mapping[str, Any], bucket_by: str | Sequence[str], answer: Answer) -> dict[str, Any]:
    """The flag's own metadata, and what a page has to know to record what it shows.

    OFREP has no reason for staleness, so it is here too.
    """
    found: Mapping[str, Any] = document.get("metadata") or {}
    metadata: dict[str, Any] = {
        name: value for name, value in found.items() if name not in _OWN_NAMES and _is_scalar(value)
    }
    if document.get("exposures") == EXPOSURES_OF_EXPERIMENTS:
        metadata["exposures"] = EXPOSURES_OF_EXPERIMENTS
    for name, value in (("ruleId", answer.rule_id), ("experiment", answer.experiment)):
        if value is not None:
            metadata[name] = value
    if answer.stale:
        metadata["stale"] = True
    if bucket_by != "userId":
        metadata["bucketBy"] = bucket_by if isinstance(bucket_by, str) else ",".join(bucket_by)
    return metadata


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
