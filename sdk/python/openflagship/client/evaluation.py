"""Evaluation from memory, which services call; the same for both clients. Nothing here raises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from os import getpid
from typing import Any, TypeAlias, TypeVar

from openflagship.client.configuration import Configuration
from openflagship.client.events import EventQueue
from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.engine.answer import FLAG_NOT_FOUND, GENERAL, failure

log = logging.getLogger("openflagship")

# A user: a Context, a user id, or attributes with the id under `userId`.
AnyContext: TypeAlias = Context | str | Mapping[str, Any] | None
_Value = TypeVar("_Value")

NOT_READY = "not_ready"


def context_of(context: AnyContext) -> Context:
    if isinstance(context, Context):
        return context
    if isinstance(context, Mapping):
        return Context(context.get("userId"), context)
    return Context(context)


class Evaluation:
    """The methods that both clients share."""

    _configuration: Configuration
    _queue: EventQueue
    _pid: int

    def __init__(self) -> None:
        # For tests of services, see `openflagship.testing`: what answers in a flag's place.
        self.overrides: dict[str, Any] = {}

    def is_enabled(
        self,
        flag_key: str,
        user_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        default: bool = False,
    ) -> bool:
        """Whether a boolean flag is true for this user; the default where there is no boolean answer."""
        value = self.variation_detail(flag_key, Context(user_id, attributes), default).value
        return value if isinstance(value, bool) else default

    def variation(self, flag_key: str, context: AnyContext, default: _Value) -> _Value | Any:
        """The flag's value for this user. Do not change a json value: it belongs to the configuration."""
        return self.variation_detail(flag_key, context, default).value

    def variation_detail(self, flag_key: str, context: AnyContext, default: Any = None) -> Answer:
        """The value and its reason. Never raises, never waits."""
        try:
            if self._pid != getpid():
                self._restart_after_fork()
            user = context if context.__class__ is Context else context_of(context)
            environment = self._configuration.environment
            answer = environment.evaluate(flag_key, user, default)
            if self.overrides and flag_key in self.overrides:
                return self._overridden(environment, flag_key, user, default)
            if answer.is_exposure:
                # The common unit and the common repeat, without a call for either.
                bucket_by = environment.flags[flag_key].bucket_by
                unit = user.user_id if bucket_by == "userId" else environment.unit(flag_key, user)
                if unit:
                    mark = (flag_key, unit, answer.variant, answer.config_version)
                    if mark not in self._queue.seen:
                        self._queue.expose(mark, answer)
            elif answer.error_code == FLAG_NOT_FOUND and not self._configuration.is_had:
                return failure(default, FLAG_NOT_FOUND, NOT_READY, 0, True)
        except Exception as error:
            log.exception("evaluating %r failed: the default is served", flag_key)
            return failure(default, GENERAL, type(error).__name__, 0, True)
        return answer

    def all_flags(self, context: AnyContext, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """The values of all flags, or of the named ones. Logs no exposures, because no user has seen them yet."""
        return {key: answer.value for key, answer in self.all_flags_detail(context, keys).items()}

    def all_flags_detail(self, context: AnyContext, keys: Iterable[str] | None = None) -> dict[str, Answer]:
        """Like `all_flags`, with reasons."""
        try:
            if self._pid != getpid():
                self._restart_after_fork()
            user = context_of(context)
            environment = self._configuration.environment
            answers = environment.evaluate_all(user, keys)
            for key in self.overrides.keys() & (answers.keys() if keys is not None else self.overrides.keys()):
                answers[key] = self._overridden(environment, key, user, None)
        except Exception:
            log.exception("evaluating all flags failed: none is served")
            return {}
        return answers

    def track(
        self,
        event_name: str,
        user_id: str | Context,
        value: float | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a conversion, which is sent later. One that the server would refuse is logged and dropped."""
        try:
            if self._pid != getpid():
                self._restart_after_fork()
            unit = context_of(user_id).user_id
            self._queue.track(event_name, unit or "", None if value is None else float(value), properties)
        except Exception as error:  # noqa: BLE001 - the promise: nothing is raised into the caller
            log.warning("the event %r is dropped: %s", event_name, error)

    def on_change(self, listener: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """Call `listener` with the keys of changed flags (None: any; empty: only staleness changed).

        It is called off the thread that follows the server, so a slow one holds up no change. Call what is returned to
        end that.
        """
        return self.on_configuration(lambda keys, _environment: listener(keys))

    def on_configuration(
        self, listener: Callable[[frozenset[str] | None, CompiledEnvironment], None]
    ) -> Callable[[], None]:
        """Like `on_change`, with the configuration as the change left it."""
        return self._configuration.announcer.listen(listener)

    def on_connection(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with each new `status().connection`, off the thread that follows the server."""
        return self._configuration.announcer.listen_to_connection(listener)

    @property
    def environment(self) -> CompiledEnvironment:
        """The immutable configuration that evaluations use."""
        return self._configuration.environment

    def _overridden(self, environment: CompiledEnvironment, flag_key: str, context: Context, default: Any) -> Answer:
        override = self.overrides[flag_key]
        answer: Answer = override(environment, flag_key, context, default)
        return answer

    def _restart_after_fork(self) -> None:
        raise NotImplementedError
