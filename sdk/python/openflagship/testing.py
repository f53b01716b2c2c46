"""For the tests of services, in any test framework: flags without a server, fixed answers, and what was recorded.

`offline({"limit": 10}, users={"alice": {"limit": 100}})` asks nobody. `override` fixes an answer for a block, `record`
notes exposures and events, `ready` waits for a real client. In pytest, `pytest_plugins = ["openflagship.testing"]` in a
conftest brings the fixture `flagship_override`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from openflagship.client.blocking import FlagShip
from openflagship.client.evaluation import Evaluation
from openflagship.client.hooks import Hook, Question
from openflagship.client.nonblocking import AsyncFlagShip
from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.engine.answer import TARGET_MATCH
from openflagship.engine.frozen import frozen

try:
    import pytest
except ModuleNotFoundError:
    # The fixture alone needs it.
    pytest = None  # type: ignore[assignment]

_LOOK_SECONDS = 0.005
_Override = Callable[[CompiledEnvironment, str, Context, Any], Answer]
_UNSET: Any = object()


class UnknownVariantError(LookupError):
    """The flag exists and has no such variant, so the test would test an impossible answer."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A flag's answer that a user was shown."""

    flag_key: str
    user_id: str | None
    variant: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class Event:
    """A conversion or a metric's value, as it was at the call."""

    name: str
    user_id: str | None
    value: float | None
    properties: Mapping[str, Any]


@dataclass(slots=True)
class Recorder:
    """What happened within `record`, in its order. A repeated exposure stands once."""

    exposures: list[Exposure] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def offline(
    flags: Mapping[str, Any] | None = None, *, users: Mapping[str, Mapping[str, Any]] | None = None
) -> FlagShip:
    """A client without a server. `flags` maps keys to everybody's values, `users` user ids to those of their own."""
    client = FlagShip("", "http://offline.invalid", is_offline=True)
    for key, value in (flags or {}).items():
        client.overrides[key] = _override(None, value)
    for user_id, own in (users or {}).items():
        for key, value in own.items():
            client.overrides[key] = _for_user(user_id, _override(None, value), client.overrides.get(key))
    return client


@contextmanager
def override(
    client: Evaluation, flag_key: str, variant: str | None = None, *, value: Any = _UNSET, user: str | None = None
) -> Iterator[None]:
    """Within the block, every user, or only `user`, gets this `variant` of the flag, or `value`. It sends no exposure.

    Raises UnknownVariantError for a variant that a known flag does not have. Nests; the innermost counts.
    """
    if (variant is None) == (value is _UNSET):
        raise TypeError("Give a variant or a value.")
    if variant is not None:
        value = _value_of(client.environment, flag_key, variant)
    before = client.overrides.get(flag_key)
    fixed = _override(variant, value)
    client.overrides[flag_key] = fixed if user is None else _for_user(user, fixed, before)
    try:
        yield
    finally:
        if before is None:
            client.overrides.pop(flag_key, None)
        else:
            client.overrides[flag_key] = before


@contextmanager
def record(client: Evaluation) -> Iterator[Recorder]:
    """Within the block, note every answer that was given and every event that was taken."""
    recorder = Recorder()

    class Noting(Hook):
        def after(self, question: Question, answer: Answer) -> None:
            key, context, environment = question.flag_key, question.context, client.environment
            unit = environment.unit(key, context) if key in environment.flags else context.user_id
            if not unit or client.is_over:
                # No client sends it.
                return
            shown = Exposure(question.flag_key, question.context.user_id, answer.variant, answer.value)
            if shown not in recorder.exposures:
                recorder.exposures.append(shown)

    def note(name: str, user_id: str | None, value: float | None, properties: Mapping[str, Any] | None) -> None:
        recorder.events.append(Event(name, user_id, value, deepcopy(dict(properties or {}))))
        if before is not None:
            # An outer block notes it as well, as it does answers.
            before(name, user_id, value, properties)

    end, before = client.add_hook(Noting()), client.event_tap
    client.event_tap = note
    try:
        yield recorder
    finally:
        client.event_tap = before
        end()


def ready(client: FlagShip, seconds: float = 10.0) -> None:
    """Wait until the client has a configuration, unless it is offline. Raises TimeoutError, which says why.

    Raises TypeError for an AsyncFlagShip: its loop brings the configuration, and must not be held up.
    """
    if isinstance(client, AsyncFlagShip):
        raise TypeError("For an AsyncFlagShip: `await client.wait_until_ready(10)`.")
    deadline = time.monotonic() + seconds
    while not client.status().is_ready and not client.options.is_offline:
        if time.monotonic() > deadline:
            status = client.status()
            raise TimeoutError(f"No configuration within {seconds:g} s: {status.error or status.connection}.")
        time.sleep(_LOOK_SECONDS)


if pytest is not None:

    @pytest.fixture
    def flagship_override() -> Iterator[Callable[..., None]]:
        """`flagship_override(client, "new-checkout", "treatment")` holds until the end of the test."""
        with ExitStack() as stack:

            def _begin(client: Evaluation, flag_key: str, variant: str | None = None, **named: Any) -> None:
                stack.enter_context(override(client, flag_key, variant, **named))

            yield _begin


def _value_of(environment: CompiledEnvironment, flag_key: str, variant: str) -> Any:
    flag = environment.flags.get(flag_key)
    if flag is None:
        # A flag that is not made yet: by its usual variants.
        return {"control": False, "off": False, "treatment": True, "on": True}.get(variant, variant)
    for known in flag.document["variants"]:
        if known["key"] == variant:
            return known["value"]
    raise UnknownVariantError(f"{flag_key} has no variant {variant!r}.")


def _for_user(user_id: str, fixed: _Override, otherwise: _Override | None) -> _Override:
    def answer(environment: CompiledEnvironment, key: str, context: Context, default: Any) -> Answer:
        if context.user_id == user_id:
            return fixed(environment, key, context, default)
        if otherwise is not None:
            return otherwise(environment, key, context, default)
        return environment.evaluate(key, context, default)

    return answer


def _override(variant: str | None, value: Any) -> _Override:
    value = frozen(value)

    def answer(environment: CompiledEnvironment, _key: str, _context: Context, _default: Any) -> Answer:
        return Answer(
            value=value,
            variant=variant,
            reason=TARGET_MATCH,
            rule_id=None,
            experiment=None,
            error_code=None,
            detail="override",
            config_version=environment.version,
            stale=False,
            openfeature_reason="TARGETING_MATCH",
            is_exposure=False,
        )

    return answer
