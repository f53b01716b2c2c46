"""Evaluation from memory, which services call; the same for both clients. Nothing here raises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from os import getpid
from typing import Any, TypeVar

from openflagship import engine
from openflagship.client.callers_code import is_coroutine_function
from openflagship.client.context import AnyContext, Context, context_of, warn_once
from openflagship.client.following.configuration import Configuration
from openflagship.client.hooks import Hook, Question, check_hook, run_hooks
from openflagship.client.kinds import BOOLEAN, JSON, NUMBER, STRING, Kind
from openflagship.client.sending.events import EventQueue
from openflagship.client.sending.usage import Usage
from openflagship.engine import Answer, CompiledEnvironment
from openflagship.engine.answer import FLAG_NOT_FOUND, GENERAL, TYPE_MISMATCH, failure
from openflagship.engine.frozen import thawed
from openflagship.engine.natives import plain

log = logging.getLogger("openflagship")

_Value = TypeVar("_Value")

NOT_READY = "not_ready"


class Evaluation:
    """The methods that both clients share."""

    _configuration: Configuration
    _queue: EventQueue
    _pid: int

    def __init__(self) -> None:
        # For tests of services, see `openflagship.testing`: what answers in a flag's place.
        self.overrides: dict[str, Any] = {}
        self.hooks: tuple[Hook, ...] = ()
        # Likewise: who is told of each event that was taken.
        self.event_tap: Callable[[str, str | None, float | None, Mapping[str, Any] | None], None] | None = None
        self._usage = Usage()

    def is_enabled(
        self,
        flag_key: str,
        user_id: AnyContext = None,
        attributes: Mapping[str, Any] | bool | None = None,
        default: bool = False,
    ) -> bool:
        """Whether a boolean flag is true for this user; the default where there is no boolean answer.

        `is_enabled(key, user)`, `is_enabled(key, user, attributes)`, `is_enabled(key, user, default)`, or all four. The
        user is an id or a `Context`; attributes given beside a context are added to its own.
        """
        if attributes.__class__ is bool:
            attributes, default = None, bool(attributes)
        user = Context(user_id, attributes) if user_id.__class__ is str else _merged(user_id, attributes)  # type: ignore[arg-type]  # a bool was taken for the default
        if flag_key.__class__ is str:
            # The common case, without a further call.
            flag = self._configuration.environment.flags.get(flag_key)
            if flag is not None and flag.type == "boolean":
                value = self.variation_detail(flag_key, user, default).value
                return value if isinstance(value, bool) else default
        answer: bool = self.typed_detail(BOOLEAN, flag_key, user, default).value
        return answer

    def variation(self, flag_key: str, context: AnyContext, default: _Value) -> _Value | Any:
        """The flag's value for this user. A json value is frozen: change a copy of it."""
        return self.variation_detail(flag_key, context, default).value

    def boolean(self, flag_key: str, context: AnyContext, default: bool) -> bool:
        """The value of a boolean flag; the default where the flag has another type."""
        value: bool = self.boolean_detail(flag_key, context, default).value
        return value

    def string(self, flag_key: str, context: AnyContext, default: str) -> str:
        """The value of a string flag; the default where the flag has another type."""
        value: str = self.string_detail(flag_key, context, default).value
        return value

    def number(self, flag_key: str, context: AnyContext, default: float) -> float:
        """The value of a number flag, an int or a float; the default where the flag has another type."""
        value: float = self.number_detail(flag_key, context, default).value
        return value

    def json(self, flag_key: str, context: AnyContext, default: _Value) -> _Value | Any:
        """The value of a json flag, frozen; the default where the flag has another type."""
        return self.json_detail(flag_key, context, default).value

    def boolean_detail(self, flag_key: str, context: AnyContext, default: bool) -> Answer:
        """Like `boolean`, with the reason: ERROR and TYPE_MISMATCH for a flag of another type."""
        return self.typed_detail(BOOLEAN, flag_key, context, default)

    def string_detail(self, flag_key: str, context: AnyContext, default: str) -> Answer:
        """Like `string`, with the reason."""
        return self.typed_detail(STRING, flag_key, context, default)

    def number_detail(self, flag_key: str, context: AnyContext, default: float) -> Answer:
        """Like `number`, with the reason."""
        return self.typed_detail(NUMBER, flag_key, context, default)

    def json_detail(self, flag_key: str, context: AnyContext, default: Any) -> Answer:
        """Like `json`, with the reason."""
        return self.typed_detail(JSON, flag_key, context, default)

    def variation_detail(self, flag_key: str, context: AnyContext, default: Any = None) -> Answer:
        """The value and its reason. Never raises, never waits."""
        try:
            if self._pid != getpid():
                self._restart_after_fork()
            if self.overrides or self.hooks:
                return self._asked_around(flag_key, context, default)
            user = context if context.__class__ is Context else context_of(context)
            environment = self._configuration.environment
            try:
                answer = environment.evaluators[flag_key](user)
            except Exception as error:  # noqa: BLE001 - the engine says which failure it is
                return self._failed(environment, flag_key, default, error)
            # The rest is `_note` without a call: the common unit, the common repeat, the common count.
            try:
                answer.uses[0] += 1
            except AttributeError:
                self._usage.begin(flag_key, answer)
            if answer.is_exposure:
                unit = user.user_id if answer.bucket_by == "userId" else environment.unit(flag_key, user)
                if unit:
                    mark = (flag_key, unit, answer.variant, answer.config_version)
                    if mark not in self._queue.seen:
                        self._queue.expose(mark, answer)
        except Exception as error:  # noqa: BLE001 - it logs them
            return self._broken(flag_key, default, error)
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
            overridden = self.overrides.keys() & (answers.keys() if keys is not None else self.overrides.keys())
            for key, answer in answers.items():
                if key not in overridden:
                    try:
                        answer.uses[0] += 1
                    except AttributeError:
                        self._count(key, answer)
            for key in overridden:
                answers[key] = self._overridden(environment, key, user, None)
        except Exception:
            log.exception("evaluating all flags failed: none is served")
            return {}
        return answers

    def track_exposure(self, flag_key: str, context: AnyContext) -> None:
        """Record that this user was shown what the flag gives them, as after `all_flags`."""
        try:
            self.variation_detail(flag_key, context)
        except Exception as error:  # noqa: BLE001 - the promise: nothing is raised into the caller
            log.warning("the exposure of %r is dropped: %s", flag_key, error)

    def track(
        self,
        event_name: str,
        user_id: AnyContext,
        value: float | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a conversion, which is sent later: it is written down as it is now.

        One that the server would refuse is logged and dropped.
        """
        self._track(event_name, user_id, value, properties, is_metric=False)

    def track_metric(
        self,
        metric_key: str,
        user_id: AnyContext,
        value: float | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Like `track`, under a metric's key in place of an event's name."""
        self._track(metric_key, user_id, value, properties, is_metric=True)

    def on_change(self, listener: Callable[[frozenset[str] | None], None]) -> Callable[[], None]:
        """Call `listener` with the keys of changed flags (None: any; empty: only staleness changed).

        It is called off the thread that follows the server, so a slow one holds up no change. Call what is returned to
        end that.
        """
        _check_listener(listener)
        return self.on_configuration(lambda keys, _environment: listener(keys))

    def on_configuration(
        self, listener: Callable[[frozenset[str] | None, CompiledEnvironment], None]
    ) -> Callable[[], None]:
        """Like `on_change`, with the configuration as the change left it."""
        _check_listener(listener)
        return self._configuration.announcer.listen(listener)

    def on_connection(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with each new `status().connection`, off the thread that follows the server."""
        _check_listener(listener)
        return self._configuration.announcer.listen_to_connection(listener)

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        """Call the hook around every evaluation of one flag. Call what is returned to end that.

        Raises TypeError for no hook, and ValueError for one of coroutine functions.
        """
        if not isinstance(hook, Hook):
            raise TypeError(f"a hook is an object of a class made from Hook, not {type(hook).__name__}")
        check_hook(hook)
        self.hooks = (*self.hooks, hook)

        def end() -> None:
            self.hooks = tuple(other for other in self.hooks if other is not hook)

        return end

    @property
    def is_over(self) -> bool:
        """Whether the client is closed: it evaluates, and takes no more exposures and events."""
        return self._queue.is_closed

    @property
    def environment(self) -> CompiledEnvironment:
        """The immutable configuration that evaluations use."""
        return self._configuration.environment

    def typed_detail(self, kind: Kind, flag_key: str, context: AnyContext, default: Any) -> Answer:
        """Like `variation_detail` for values of one kind: another gives the default and TYPE_MISMATCH, and no exposure.

        For wrappers of this client; `boolean_detail` and its like are the usual ones.
        """
        try:
            if not self.overrides and not self.hooks and flag_key.__class__ is str:
                # The common case, at the price of one look at the flag.
                flag = self._configuration.environment.flags.get(flag_key)
                if flag is not None and flag.type == kind.flag_type:
                    answer = self.variation_detail(flag_key, context, default)
                    if kind is JSON or answer.error_code is not None or kind.is_right(answer.value):
                        return answer
                    # The flag has become another one meanwhile.
            if self._pid != getpid():
                self._restart_after_fork()
            return self._asked_around(flag_key, context, default, kind)
        except Exception as error:  # noqa: BLE001 - it logs them
            return self._broken(flag_key, default, error)

    def _asked_around(self, flag_key: str, context: AnyContext, default: Any, kind: Kind | None = None) -> Answer:
        """An evaluation with overrides, hooks or a kind that is asked for."""
        environment = self._configuration.environment
        is_key = isinstance(flag_key, str)
        flag = environment.flags.get(flag_key) if is_key else None
        flag_type = None if flag is None else flag.type
        is_overridden = is_key and flag_key in self.overrides

        def ask(user: Context) -> Answer:
            if is_overridden:
                answer = self._overridden(environment, flag_key, user, default)
            elif kind is not None and kind.refuses(flag_type):
                return self._mismatched(environment, flag_key, default, kind.problem(flag_type, None))
            else:
                try:
                    answer = environment.evaluators[flag_key](user)
                except Exception as error:  # noqa: BLE001 - the engine says which failure it is
                    return self._failed(environment, flag_key, default, error)
            if kind is not None and answer.error_code is None:
                problem = kind.problem(flag_type, answer.value)
                if problem is not None:
                    # Nobody sees a variant of another kind, so no exposure is logged for it.
                    return self._mismatched(environment, flag_key, default, problem)
            if not is_overridden:
                self._note(environment, flag_key, user, answer)
            return answer

        user = context if context.__class__ is Context else context_of(context)
        if not self.hooks:
            return ask(user)
        asked_for = (flag_type or "unknown") if kind is None else kind.name
        return run_hooks(self.hooks, Question(flag_key, user, default, asked_for), ask)

    def _mismatched(self, environment: CompiledEnvironment, flag_key: str, default: Any, problem: str | None) -> Answer:
        answer = failure(thawed(default), TYPE_MISMATCH, problem, environment.version, environment.stale)
        self._usage.count_failure(flag_key, answer)
        return answer

    def _broken(self, flag_key: str, default: Any, error: Exception) -> Answer:
        """The answer where a fault is this client's own. Call it where the fault is handled."""
        log.exception("evaluating %r failed: the default is served", flag_key)
        return failure(thawed(default), GENERAL, type(error).__name__, 0, True)

    def _note(self, environment: CompiledEnvironment, flag_key: str, user: Context, answer: Answer) -> None:
        """Count an answer, and queue its exposure where it is one."""
        self._usage.count(flag_key, answer)
        unit = environment.unit(flag_key, user) if answer.is_exposure else None
        if unit:
            mark = (flag_key, unit, answer.variant, answer.config_version)
            if mark not in self._queue.seen:
                self._queue.expose(mark, answer)

    def _failed(self, environment: CompiledEnvironment, flag_key: str, default: Any, error: Exception) -> Answer:
        """What an evaluation without an answer gives: a copy of the caller's default, and why."""
        answer = environment.failure(flag_key, thawed(default), error)
        if answer.error_code == FLAG_NOT_FOUND and not self._configuration.is_had:
            return failure(answer.value, FLAG_NOT_FOUND, NOT_READY, 0, True)
        self._usage.count_failure(flag_key, answer)
        return answer

    def _count(self, flag_key: str, answer: Answer) -> None:
        """Count one of the answers for all flags, except what is unknown because no configuration came yet."""
        if answer.error_code is None:
            self._usage.count(flag_key, answer)
        elif self._configuration.is_had:
            self._usage.count_failure(flag_key, answer)

    def _track(
        self,
        name: str,
        context: AnyContext,
        value: float | None,
        properties: Mapping[str, Any] | None,
        *,
        is_metric: bool,
    ) -> None:
        try:
            if self._pid != getpid():
                self._restart_after_fork()
            user = context if isinstance(context, engine.Context) else context_of(context)
            number = None if value is None else float(plain(value))
            self._queue.track(name, user.user_id or "", number, properties, is_metric=is_metric)
            if self.event_tap is not None and not self.is_over:
                self.event_tap(name, user.user_id, number, properties)
        except Exception as error:  # noqa: BLE001 - the promise: nothing is raised into the caller
            log.warning("the event %r is dropped: %s", name, error)

    def _overridden(self, environment: CompiledEnvironment, flag_key: str, context: Context, default: Any) -> Answer:
        override = self.overrides[flag_key]
        answer: Answer = override(environment, flag_key, context, default)
        return answer

    def _restart_after_fork(self) -> None:
        raise NotImplementedError


def _check_listener(listener: object) -> None:
    """Raises TypeError: here somebody sees it, on the announcer's thread nobody would."""
    if not callable(listener):
        raise TypeError(f"a listener is a function, not {type(listener).__name__}")
    if is_coroutine_function(listener):
        raise TypeError("a listener is a plain function, not a coroutine function; it may start a task")


def _merged(user: AnyContext, attributes: Mapping[str, Any] | bool | None) -> Context:
    """A user of any kind, with further attributes."""
    context = context_of(user)
    if attributes is None:
        return context
    if not isinstance(attributes, Mapping):
        warn_once("", "attributes", "attributes are ignored: give a mapping, not %s", type(attributes).__name__)
        return context
    if not context.attributes:
        return context.with_attributes(dict(attributes))
    return context.with_attributes({**context.attributes, **attributes})
