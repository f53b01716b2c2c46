"""Answers as JSON. Everything that does not depend on the user is rendered once per configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from openflagship.engine import Answer, CompiledEnvironment
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.engine.model import EXPOSURES_OF_EXPERIMENTS
from openflagship.wire.bodies import write_json

# Of a flag's own metadata, these would be taken for what the platform says.
_OWN_NAMES: Final = frozenset({"evaluationId", "bucketBy", "exposures", "experiment", "ruleId", "stale"})


class RenderedAnswer:
    """An answer in our own form, without the user and the evaluation's id."""

    __slots__ = ("answer", "bucket_by", "head", "key", "named_head", "tail")

    def __init__(self, environment: CompiledEnvironment, key: str, answer: Answer) -> None:
        # The reference keeps the answer alive: its `id()` is the key under which this object is found.
        self.answer = answer
        self.key = key
        self.bucket_by = environment.flags[key].bucket_by
        name = write_json(key)
        self.head = b'{"flagKey":' + name + b',"userId":'
        self.named_head = name + b':{"flagKey":' + name + b',"evaluationId":"'
        self.tail = b'",' + write_json(answer.to_dict())[1:]


class RenderedOfrep:
    """An answer in OFREP's form, which says nothing about the user."""

    __slots__ = ("_head", "answer", "body", "bucket_by", "key")

    def __init__(self, environment: CompiledEnvironment, key: str, answer: Answer) -> None:
        flag = environment.flags[key]
        self.answer = answer
        self.key = key
        self.bucket_by = flag.bucket_by
        said = _ofrep_success(flag.document, key, answer)
        if flag.bucket_by != "userId":
            # What a page records what it shows under.
            said["metadata"]["bucketBy"] = (
                flag.bucket_by if isinstance(flag.bucket_by, str) else ",".join(flag.bucket_by)
            )
        self.body = write_json(said)
        # Its metadata is the last member and still open.
        self._head = self.body[:-2] + (b',"evaluationId":"' if said["metadata"] else b'"evaluationId":"')

    def named(self, evaluation_id: str) -> bytes:
        """The body with the evaluation's id in its metadata."""
        return b'%b%b"}}' % (self._head, evaluation_id.encode())


def _ofrep_success(document: Mapping[str, Any], key: str, answer: Answer) -> dict[str, Any]:
    """A switched-off flag is a success with reason DISABLED. OFREP has no reason for staleness; metadata carries it.

    It says too which exposures the flag logs, for clients that report by themselves what they showed.
    """
    found: dict[str, Any] = document.get("metadata") or {}
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
    reason = OPENFEATURE_REASONS[answer.reason] if answer.stale else answer.openfeature_reason
    return {
        "key": key,
        "reason": reason,
        "variant": answer.variant or "",
        "value": answer.value,
        "metadata": metadata,
    }


def ofrep_failure(answer: Answer) -> dict[str, Any]:
    """The members that say why there is no answer."""
    details = answer.detail or "There is no such flag in this environment."
    return {"errorCode": answer.error_code, "errorDetails": details}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
