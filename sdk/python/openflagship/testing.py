"""For the tests of services: flags without a server, and answers of your choice.

`pytest_plugins = ["openflagship.testing"]` in a conftest brings the fixture `flagship_override`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from openflagship.client.blocking import FlagShip
from openflagship.client.evaluation import Evaluation
from openflagship.engine import Answer, CompiledEnvironment, Context
from openflagship.engine.answer import TARGET_MATCH

_UNSET: Any = object()


class UnknownVariantError(LookupError):
    """The flag exists and has no such variant, so the test would test an impossible answer."""


def offline(flags: Mapping[str, Any] | None = None) -> FlagShip:
    """A client without a server. `flags` maps keys to the values that every user gets."""
    client = FlagShip("", "http://offline.invalid", is_offline=True)
    for key, value in (flags or {}).items():
        client.overrides[key] = _override(None, value)
    return client


@contextmanager
def override(client: Evaluation, flag_key: str, variant: str | None = None, *, value: Any = _UNSET) -> Iterator[None]:
    """Within the block, every user gets this `variant` of the flag, or `value`. No exposure is logged for it.

    Raises UnknownVariantError for a variant that a known flag does not have. Nests; the innermost counts.
    """
    if (variant is None) == (value is _UNSET):
        raise TypeError("Give a variant or a value.")
    if variant is not None:
        value = _value_of(client.environment, flag_key, variant)
    before = client.overrides.get(flag_key)
    client.overrides[flag_key] = _override(variant, value)
    try:
        yield
    finally:
        if before is None:
            client.overrides.pop(flag_key, None)
        else:
            client.overrides[flag_key] = before


@pytest.fixture
def flagship_override() -> Iterator[Callable[..., None]]:
    """`flagship_override(client, "new-checkout", "treatment")` holds until the end of the test."""
    with ExitStack() as stack:

        def _begin(client: Evaluation, flag_key: str, variant: str | None = None, *, value: Any = _UNSET) -> None:
            stack.enter_context(override(client, flag_key, variant, value=value))

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


def _override(variant: str | None, value: Any) -> Callable[[CompiledEnvironment, str, Context, Any], Answer]:
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
