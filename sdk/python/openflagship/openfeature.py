"""FlagShip as an OpenFeature provider: `api.set_provider(FlagShipProvider(FlagShip(server_key, url)))`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata
from openfeature.track import TrackingEventDetails

from openflagship.client import AsyncFlagShip, FlagShip
from openflagship.client.context import Context
from openflagship.client.evaluation import NOT_READY
from openflagship.client.following.synchroniser import POLLING, REFUSED, STREAMING
from openflagship.client.kinds import Kind, is_boolean, is_number, is_string, is_structure
from openflagship.engine import Answer, CompiledFlag
from openflagship.engine.frozen import thawed

_Value = TypeVar("_Value")
_Object = Sequence[FlagValueType] | Mapping[str, FlagValueType]
_WORKING = frozenset({STREAMING, POLLING})
_CODES = {
    "FLAG_NOT_FOUND": ErrorCode.FLAG_NOT_FOUND,
    "PARSE_ERROR": ErrorCode.PARSE_ERROR,
    "GENERAL": ErrorCode.GENERAL,
    "TYPE_MISMATCH": ErrorCode.TYPE_MISMATCH,
}


class FlagShipProvider(AbstractProvider):
    """Answers from a client's memory. Each domain with its own environment needs its own provider.

    The provider closes a `FlagShip` when it is shut down; an `AsyncFlagShip` is started and closed by whoever made it.
    """

    def __init__(self, client: FlagShip | AsyncFlagShip, *, ready_wait_seconds: float = 5.0) -> None:
        super().__init__()
        self.client = client
        self._ready_wait_seconds = ready_wait_seconds
        self._end_listening: Sequence[Callable[[], None]] = ()
        self._announcing = threading.Lock()
        self._is_announced = self._is_initializing = self._is_refused = False
        self._metadata_of: dict[str, tuple[CompiledFlag, dict[str, bool | int | float | str]]] = {}

    def get_metadata(self) -> Metadata:
        return Metadata(name="FlagShip")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the interface's
        """Wait for a first configuration. Raises ProviderNotReadyError, ProviderFatalError for a refused key."""
        self._is_initializing = True
        client = self.client
        self._end_listening = (client.on_change(self._changed), client.on_connection(self._connected))
        is_ready = (
            client.wait_until_ready(self._ready_wait_seconds)
            if isinstance(client, FlagShip)
            else client.status().is_ready
        )
        with self._announcing:
            # What came since the wait was over is told by returning; what comes from here on, by an event.
            self._is_announced = is_ready or client.status().is_ready
            self._is_initializing = False
            status = client.status()
            self._is_refused = status.connection == REFUSED and not self._is_announced
        if self._is_announced:
            return
        if self._is_refused:
            raise ProviderFatalError(f"FlagShip refuses the key: {status.error}")
        raise ProviderNotReadyError(f"No configuration was had yet: {status.error or status.connection}")

    def shutdown(self) -> None:
        for end in self._end_listening:
            end()
        self._end_listening = ()
        if isinstance(self.client, FlagShip):
            self.client.close()

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Record a conversion of the context's targeting key. The attributes of its details become properties."""
        details = tracking_event_details
        self.client.track(
            tracking_event_name,
            _context(evaluation_context),
            None if details is None else details.value,
            None if details is None else details.attributes,
        )

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, _BOOLEAN)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, _STRING)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value, evaluation_context, _INTEGER)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value, evaluation_context, _FLOAT)

    def resolve_object_details(
        self, flag_key: str, default_value: _Object, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_Object]:
        return self._resolve(flag_key, default_value, evaluation_context, _OBJECT)

    def _resolve(
        self, flag_key: str, default: _Value, given: EvaluationContext | None, kind: Kind
    ) -> FlagResolutionDetails[_Value]:
        answer = self.client.typed_detail(kind, flag_key, _context(given), default)
        metadata = self._metadata(flag_key, answer)
        if answer.error_code is not None:
            is_early = answer.detail == NOT_READY
            code = ErrorCode.PROVIDER_NOT_READY if is_early else _CODES.get(answer.error_code, ErrorCode.GENERAL)
            message = answer.detail or f"flag {flag_key} not found in this environment"
            return FlagResolutionDetails(default, code, message, Reason.ERROR, None, metadata)
        value: Any = _READ.get(kind.name, _as_it_is)(answer.value)
        return FlagResolutionDetails(value, None, None, Reason(answer.openfeature_reason), answer.variant, metadata)

    def _metadata(self, flag_key: str, answer: Answer) -> dict[str, bool | int | float | str]:
        metadata = {**self._own_metadata(flag_key), "configVersion": answer.config_version}
        for name, found in (("ruleId", answer.rule_id), ("experiment", answer.experiment)):
            if found is not None:
                metadata[name] = found
        return metadata

    def _own_metadata(self, flag_key: str) -> dict[str, bool | int | float | str]:
        """The flag's own metadata, read from its document once and remembered for each flag."""
        flag = self.client.environment.flags.get(flag_key)
        if flag is None or flag.config is None:
            return {}
        known = self._metadata_of.get(flag_key)
        if known is None or known[0] is not flag:
            found = flag.document.get("metadata") or {}
            scalars = {name: value for name, value in found.items() if isinstance(value, (bool, int, float, str))}
            known = self._metadata_of[flag_key] = (flag, scalars)
        return known[1]

    def _changed(self, keys: frozenset[str] | None) -> None:
        environment = self.client.environment
        with self._announcing:
            if self._is_initializing:
                return
            is_first = not self._is_announced
            self._is_announced = True
            if is_first:
                self._is_refused = False
            is_refused = self._is_refused
        if is_first:
            self.emit_provider_ready(ProviderEventDetails(message="A first configuration was had."))
        elif keys is not None and not keys:
            if is_refused:
                # Whether it is stale besides is told once the key works again.
                return
            if environment.stale:
                self.emit_provider_stale(ProviderEventDetails(message="The configuration could not be refreshed."))
            else:
                self.emit_provider_ready(ProviderEventDetails(message="The configuration is current again."))
        else:
            self.emit_provider_configuration_changed(
                ProviderEventDetails(flags_changed=sorted(environment.flags if keys is None else keys))
            )

    def _connected(self, state: str) -> None:
        """A key that is refused is fatal, until it works again."""
        with self._announcing:
            was_refused = self._is_refused
            if state == REFUSED:
                self._is_refused = True
            elif state in _WORKING:
                self._is_refused = False
            is_refused = self._is_refused
            if self._is_initializing or is_refused is was_refused:
                return
        if is_refused:
            text = f"FlagShip refuses the key: {self.client.status().error}"
            self.emit_provider_error(ProviderEventDetails(message=text, error_code=ErrorCode.PROVIDER_FATAL))
        elif self.client.environment.stale:
            self.emit_provider_stale(ProviderEventDetails(message="The configuration could not be refreshed."))
        else:
            self.emit_provider_ready(ProviderEventDetails(message="The key works again."))


def _context(given: EvaluationContext | None) -> Context:
    if given is None:
        return Context()
    attributes = given.attributes
    user_id = given.targeting_key
    if not user_id:
        return Context(attributes.get("userId"), attributes)
    return Context(user_id, attributes)


def _is_whole(value: Any) -> bool:
    # JSON does not tell 10 from 10.0.
    return is_number(value) and (isinstance(value, int) or value.is_integer())


def _as_it_is(value: Any) -> Any:
    return value


# By the value and not by the flag's type, as OpenFeature does.
_BOOLEAN = Kind("boolean", None, is_boolean)
_STRING = Kind("string", None, is_string)
_INTEGER = Kind("integer", None, _is_whole)
_FLOAT = Kind("float", None, is_number)
_OBJECT = Kind("object", None, is_structure)
_READ: dict[str, Callable[[Any], Any]] = {"integer": int, "float": float, "object": thawed}
