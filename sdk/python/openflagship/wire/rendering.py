"""Answers as JSON. Everything that does not depend on the user is rendered once per configuration."""

from __future__ import annotations

from typing import Any

from openflagship.engine import Answer, CompiledEnvironment
from openflagship.engine.answer import OPENFEATURE_REASONS
from openflagship.wire.bodies import write_json
from openflagship.wire.metadata import metadata_of


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

    __slots__ = ("_head", "answer", "body", "bucket_by", "key", "metadata", "rpc_heads")

    def __init__(self, environment: CompiledEnvironment, key: str, answer: Answer) -> None:
        flag = environment.flags[key]
        self.answer = answer
        self.key = key
        self.bucket_by = flag.bucket_by
        self.metadata = metadata = metadata_of(flag.document, flag.bucket_by, answer)
        # A switched-off flag is a success with reason DISABLED; OFREP has no reason for staleness.
        reason = OPENFEATURE_REASONS[answer.reason] if answer.stale else answer.openfeature_reason
        said = {"key": key, "reason": reason, "variant": answer.variant or "", "value": answer.value}
        self.body = write_json({**said, "metadata": metadata})
        # Its metadata is the last member and still open.
        self._head = self.body[:-2] + (b',"evaluationId":"' if metadata else b'"evaluationId":"')
        # The same in the messages of gRPC, by their class; whoever writes those keeps them here.
        self.rpc_heads: dict[Any, bytes] = {}

    def named(self, evaluation_id: str) -> bytes:
        """The body with the evaluation's id in its metadata."""
        return b'%b%b"}}' % (self._head, evaluation_id.encode())


def ofrep_failure(answer: Answer) -> dict[str, object]:
    """The members that say why there is no answer."""
    details = answer.detail or "There is no such flag in this environment."
    return {"errorCode": answer.error_code, "errorDetails": details}
