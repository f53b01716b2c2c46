"""The flags of OpenFeature's features as FlagShip has them, and our provider in each of the states they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from contract import read
from documents import snapshot
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus
from openflagship import FlagShip
from openflagship.openfeature import FlagShipProvider
from sdk_fixtures import FAST, treatment
from small_platform import KEY, SmallPlatform, eventually

FLAGS = read("cases/ofrep/flags.json")["flags"]
CONTEXT_AWARE = {
    "key": "context-aware",
    "type": "string",
    "variants": {"internal": "INTERNAL", "external": "EXTERNAL"},
    "defaultVariant": "external",
    "enabled": True,
    "rules": [
        {
            "priority": 1,
            "conditions": [{"attribute": "customer", "operator": "equals", "value": False}],
            "variant": "internal",
        }
    ],
}
DOMAIN = "features"
_TYPES = {"integer": "number", "float": "number", "object": "json"}
# Nobody listens there.
_NOWHERE = "http://127.0.0.1:9"


def as_document(flag: dict[str, Any]) -> dict[str, Any]:
    """The specification's flag in the words of a snapshot."""
    rules = [{"id": f"rule-{rule['priority']}", **rule} for rule in flag.get("rules", [])]
    return {
        **flag,
        "type": _TYPES.get(flag["type"], flag["type"]),
        "variants": [{"key": key, "value": value} for key, value in flag["variants"].items()],
        "rules": rules,
    }


class NotingProvider(FlagShipProvider):
    """Ours, which remembers the context that it was asked with."""

    context: EvaluationContext

    def _resolve(self, flag_key: str, default: Any, given: EvaluationContext | None, read: Callable[..., Any]) -> Any:
        assert given is not None
        self.context = given
        return super()._resolve(flag_key, default, given, read)


class NotingHook(Hook):
    """`calls` has the stages in their order; `details` what each was given."""

    def __init__(self, name: str = "", calls: list[str] | None = None, adds: dict[str, Any] | None = None) -> None:
        self.name = name
        self.calls: list[str] = [] if calls is None else calls
        self.details: dict[str, FlagEvaluationDetails[Any]] = {}
        self._adds = adds or {}

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext | None:
        self.calls.append(self.name + "before")
        return EvaluationContext(attributes=self._adds) if self._adds else None

    def after(self, hook_context: HookContext, details: Any, hints: HookHints) -> None:
        self.calls.append(self.name + "after")
        self.details["after"] = details

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        self.calls.append(self.name + "error")

    def finally_after(self, hook_context: HookContext, details: Any, hints: HookHints) -> None:
        self.calls.append(self.name + "finally")
        self.details["finally"] = details


class World:
    """What the steps of one scenario share."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.provider: NotingProvider
        self.client: OpenFeatureClient
        self.asked: tuple[str, str, Any] = ("", "", None)
        self.attributes: dict[str, Any] = {}
        self.details: FlagEvaluationDetails[Any]
        self.hook = NotingHook()
        self.levels: list[str] = []

    def stable(self) -> None:
        document = snapshot(*(as_document(flag) for flag in [*FLAGS, CONTEXT_AWARE]))
        self._provide(FlagShip("", _NOWHERE, bootstrap=document, is_offline=True))

    def not_ready(self) -> None:
        """It waits for a platform that does not come for as long as the scenario goes on."""
        self._provide(FlagShip(KEY, _NOWHERE, start_wait_seconds=0, close_wait_seconds=0), ready_wait_seconds=3600)

    def error(self) -> None:
        client = FlagShip(KEY, _NOWHERE, start_wait_seconds=0, close_wait_seconds=0)
        self._provide(client, ready_wait_seconds=0, status=ProviderStatus.ERROR)

    def fatal(self) -> None:
        client = FlagShip("not-the-key", self._platform().url, **{**FAST, "start_wait_seconds": 0})
        eventually(lambda: client.status().connection == "refused")
        self._provide(client, ready_wait_seconds=0, status=ProviderStatus.FATAL)

    def stale(self) -> None:
        platform = self._platform()
        self._provide(FlagShip(KEY, platform.url, **{**FAST, "connect_seconds": 1, "stale_after_seconds": 0.2}))
        platform.stop()
        eventually(lambda: self.client.get_provider_status() is ProviderStatus.STALE)

    def _platform(self) -> SmallPlatform:
        platform = SmallPlatform(treatment())
        self._stack.callback(platform.close)
        return platform

    def _provide(
        self, client: FlagShip, *, ready_wait_seconds: float = 60, status: ProviderStatus = ProviderStatus.READY
    ) -> None:
        self.provider = NotingProvider(client, ready_wait_seconds=ready_wait_seconds)
        # A provider that never came to be ready is not closed by its shutdown alone where that comes too early.
        self._stack.callback(client.close)
        if ready_wait_seconds > 60:
            api.set_provider(self.provider, DOMAIN)
            status = ProviderStatus.NOT_READY
        else:
            with suppress(OpenFeatureError):
                api.set_provider_and_wait(self.provider, DOMAIN)
        self.client = api.get_client(DOMAIN)
        assert self.client.get_provider_status() is status

    def evaluate(self, **options: Any) -> None:
        kind, key, default = self.asked
        method = getattr(self.client, f"get_{kind}_details")
        self.details = method(key, default, EvaluationContext(attributes=self.attributes), **options)


def worlds() -> Iterator[World]:
    """One, and everything of OpenFeature's that is global as it was before."""
    with ExitStack() as stack:
        stack.callback(api.clear_transaction_context_propagator)
        # Before that: the transaction is this thread's, and so the next test's.
        stack.callback(api.set_transaction_context, EvaluationContext())
        stack.callback(api.clear_evaluation_context)
        stack.callback(api.clear_hooks)
        stack.callback(api.clear_providers)
        yield World(stack)
