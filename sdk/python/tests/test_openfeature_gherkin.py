"""Runs features in OpenFeature's own words (Gherkin) through its client and our provider.

Those in features/ are ours. OPENFEATURE_FEATURES names specification/assets/gherkin in a checkout of
github.com/open-feature/spec, whose evaluation, hook, context and metadata features then run too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationOptions
from openfeature.provider import ProviderStatus
from openfeature.transaction_context import ContextVarsTransactionContextPropagator
from openfeature_world import NotingHook, World, worlds
from pytest_bdd import given, parsers, scenarios, then, when

scenarios(str(Path(__file__).parent / "features"))
for _name in ("evaluation_v2", "hooks", "contextMerging", "metadata"):
    # evaluation.feature is deprecated for evaluation_v2.feature, and words its steps otherwise.
    if _folder := os.environ.get("OPENFEATURE_FEATURES"):
        scenarios(str(Path(_folder).resolve() / f"{_name}.feature"))


@pytest.fixture
def world() -> Iterator[World]:
    yield from worlds()


def read(kind: str, text: str) -> Any:
    """The features' way to write a value."""
    text = text.replace('\\"', '"')
    if text in {"null", "None"} and kind.lower() != "object":
        return None
    readers = {"string": str, "integer": int, "float": float, "double": float}
    return readers[kind.lower()](text) if kind.lower() in readers else json.loads(text)


@given("a stable provider")
@given("a provider is registered")
def _stable(world: World) -> None:
    world.stable()


@given("a not ready provider")
def _not_ready(world: World) -> None:
    world.not_ready()


@given("a error provider")
def _error(world: World) -> None:
    world.error()


@given("a fatal provider")
def _fatal(world: World) -> None:
    world.fatal()


@given("a stale provider")
def _stale(world: World) -> None:
    world.stale()


@then(parsers.parse('the provider status should be "{status}"'))
def _status(world: World, status: str) -> None:
    assert world.client.get_provider_status() is ProviderStatus(status)


@given(parsers.re(r'an? (?P<kind>\w+)-flag with key "(?P<key>.*?)" and a (default|fallback) value "(?P<default>.*)"'))
def _flag(world: World, kind: str, key: str, default: str) -> None:
    world.asked = (kind.lower(), key, read(kind, default))


@given(parsers.parse('a context containing a key "{key}", with type "{kind}" and with value "{value}"'))
def _attribute(world: World, key: str, kind: str, value: str) -> None:
    world.attributes[key] = read(kind, value)


@given(parsers.parse('a context containing a key "{key}" with null value'))
def _null_attribute(world: World, key: str) -> None:
    world.attributes[key] = None


@when("the flag was evaluated with details")
def _evaluate(world: World) -> None:
    world.evaluate()


@then(parsers.re(r'the resolved details value should be "(?P<value>.*)"'))
def _value(world: World, value: str) -> None:
    expected = read(world.asked[0], value)
    assert world.details.value == expected
    assert type(world.details.value) is type(expected)


@then(parsers.parse('the reason should be "{reason}"'))
def _reason(world: World, reason: str) -> None:
    assert world.details.reason == reason


@then(parsers.parse('the error-code should be "{code}"'))
def _code(world: World, code: str) -> None:
    assert world.details.error_code == ErrorCode(code)


@then(parsers.parse('the error message should contain "{text}"'))
def _message(world: World, text: str) -> None:
    assert text in (world.details.error_message or "")


@then(parsers.parse('the flag key should be "{key}"'))
def _key(world: World, key: str) -> None:
    assert world.details.flag_key == key


@then(parsers.parse('the variant should be "{variant}"'))
def _variant(world: World, variant: str) -> None:
    assert world.details.variant == variant


@then("the resolved metadata should contain")
def _metadata(world: World, datatable: list[list[str]]) -> None:
    expected = {key: read(kind, value) for key, kind, value in datatable[1:]}
    assert expected.items() <= world.details.flag_metadata.items()


@then("the resolved metadata is empty")
def _no_metadata(world: World) -> None:
    # Of the flag's own there is none; where the answer comes from is told with every answer.
    assert world.details.flag_metadata.keys() <= {"configVersion", "ruleId", "experiment"}


@given("a client with added hook")
def _hook(world: World) -> None:
    world.client.add_hooks([world.hook])


@then(parsers.parse('the "{stage}" hook should have been executed'))
def _stage(world: World, stage: str) -> None:
    assert stage in world.hook.calls


@then(parsers.parse('the "{stages}" hooks should be called with evaluation details'))
def _hook_details(world: World, stages: str, datatable: list[list[str]]) -> None:
    expected = {key: read(kind, value) for kind, key, value in datatable[1:]}
    for stage in stages.split(", "):
        seen = {key: getattr(world.hook.details[stage], key) for key in expected}
        assert seen == expected


@given("evaluation options containing specific hooks", target_fixture="options")
def _options(world: World) -> FlagEvaluationOptions:
    calls = world.hook.calls
    return FlagEvaluationOptions(hooks=[NotingHook("first ", calls), NotingHook("second ", calls)])


@when("the flag was evaluated with details using the evaluation options")
def _evaluate_with_options(world: World, options: FlagEvaluationOptions) -> None:
    world.evaluate(flag_evaluation_options=options)


@then("the specified hooks should execute during evaluation")
def _executed(world: World) -> None:
    assert len(world.hook.calls) == 6


@then("the hook order should be maintained")
def _order(world: World) -> None:
    there, back = ["first before", "second before"], ["second after", "first after", "second finally", "first finally"]
    assert world.hook.calls == there + back


@given("an evaluation context with modifiable data")
def _modifiable(world: World) -> None:
    world.attributes = {"list": ["one"], "object": {"key": "value"}}


@then("the original evaluation context should remain unmodified")
def _unmodified(world: World) -> None:
    assert world.attributes == {"list": ["one"], "object": {"key": "value"}}


@then("the evaluation details should be immutable")
def _immutable(world: World) -> None:
    # OpenFeature's Python class of them is none that refuses: what counts is that nobody else's answer changes.
    kept = dataclasses.replace(world.details)
    world.details.value = world.details.variant = None
    world.evaluate()
    assert world.details == kept


@when("the flag was evaluated with details asynchronously")
def _asynchronously(world: World) -> None:
    kind, key, default = world.asked
    method = getattr(world.client, f"get_{kind}_details_async")

    async def ask() -> Any:
        (answer,) = await asyncio.gather(method(key, default, EvaluationContext()))
        return answer

    world.details = asyncio.run(ask())


@then("the evaluation should complete without blocking")
def _complete(world: World) -> None:
    assert world.details.flag_key == world.asked[1]


@then("the result should be equivalent to synchronous evaluation")
def _equivalent(world: World) -> None:
    kept = world.details
    world.evaluate()
    assert world.details == kept


@given("a stable provider with retrievable context is registered")
def _retrievable(world: World) -> None:
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    world.stable()


@given(parsers.parse('A context entry with key "{key}" and value "{value}" is added to the "{level}" level'))
def _entry(world: World, key: str, value: str, level: str) -> None:
    if level == "API":
        api.set_evaluation_context(api.get_evaluation_context().merge(EvaluationContext(attributes={key: value})))
    elif level == "Transaction":
        api.set_transaction_context(EvaluationContext(attributes={key: value}))
    elif level == "Client":
        world.client.context = world.client.context.merge(EvaluationContext(attributes={key: value}))
    elif level == "Before Hooks":
        world.client.add_hooks([NotingHook(adds={key: value})])
    else:
        assert level == "Invocation"
        world.attributes[key] = value


@given("A table with levels of increasing precedence")
def _levels(world: World, datatable: list[list[str]]) -> None:
    world.levels = [level for (level,) in datatable]


@given(
    parsers.parse(
        'Context entries for each level from API level down to the "{last}" level, with key "{key}" and value "{value}"'
    )
)
def _entries(world: World, last: str, key: str, value: str) -> None:
    for level in world.levels[: world.levels.index(last) + 1]:
        _entry(world, key, value if level == last else f"overwritten {level}", level)


@when("Some flag was evaluated")
def _some(world: World) -> None:
    world.asked = ("string", "string-flag", "")
    world.evaluate()


@then(parsers.parse('The merged context contains an entry with key "{key}" and value "{value}"'))
def _merged(world: World, key: str, value: str) -> None:
    assert world.provider.context.attributes[key] == value
