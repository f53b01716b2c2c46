"""What an event looks like on its way out: the very text, for whatever a unit, an answer or a property may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openflagship.client.options import Options
from openflagship.client.sending.events import CONVERSION, EXPOSURE, EventQueue
from openflagship.engine import Answer

UNIX_MS = 1_795_000_000_007


def _queue(**options: Any) -> EventQueue:
    return EventQueue(Options(**options), wake=lambda: None)


def _answer(**changes: Any) -> Answer:
    given = {
        "value": True, "variant": "treatment", "reason": "ROLLOUT", "rule_id": None, "experiment": None,
        "error_code": None, "detail": None, "config_version": 7, "stale": False, "openfeature_reason": "SPLIT",
        "is_exposure": True,
    }  # fmt: skip
    return Answer(**{**given, **changes})


@pytest.mark.parametrize("unit", ["user-1", 'q"u\\o', "ü日\n", "\x00", "\ud800"])
@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {}),
        ({"rule_id": 'r"1', "experiment": "é"}, {"ruleId": 'r"1', "experiment": "é"}),
        ({"variant": None}, {"variant": None}),
    ],
)
def test_exposure__any_unit_and_answer__is_the_text_of_its_document(
    unit: str, changes: dict[str, Any], more: dict[str, Any]
) -> None:
    queue = _queue()
    queue.expose_each("01-id", 'flag"1', unit, _answer(**changes), UNIX_MS)
    document = {
        "evaluationId": "01-id", "flagKey": 'flag"1', "userId": unit, "variant": "treatment",
        "timestamp": "2026-11-18T11:06:40.007+00:00", "source": "sdk-python", "reason": "ROLLOUT", "configVersion": 7,
    }  # fmt: skip

    assert queue.take(EXPOSURE, 10) == [json.dumps({**document, **more}, separators=(",", ":"))]


def test_exposures__of_several_answers_and_seconds__keep_their_own() -> None:
    queue, control, treatment = _queue(), _answer(variant="control", config_version=8), _answer()
    for number in range(6):
        answer = treatment if number % 2 else control
        queue.expose_each(f"id-{number}", f"flag-{number % 2}", f"user-{number}", answer, UNIX_MS + number * 600)
    queue.begin_window()
    # One answer for two flags, which no environment gives.
    queue.expose_each("id-6", "flag-9", "user-6", treatment, UNIX_MS)
    found = [json.loads(text) for text in queue.take(EXPOSURE, 10)]

    assert [(event["flagKey"], event["variant"], event["configVersion"]) for event in found] == [
        *([("flag-0", "control", 8), ("flag-1", "treatment", 7)] * 3),
        ("flag-9", "treatment", 7),
    ]
    assert [event["timestamp"][17:23] for event in found] == [
        "40.007", "40.607", "41.207", "41.807", "42.407", "43.007", "40.007",
    ]  # fmt: skip


def test_before_send__sees_the_exposure_as_a_document_and_may_change_it() -> None:
    seen: list[dict[str, Any]] = []

    def hook(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(event))
        return {**event, "userId": "changed"}

    queue = _queue(before_send=hook)
    queue.expose_each("01-id", "flag-1", "\ud800", _answer(), UNIX_MS)
    (sent,) = queue.take(EXPOSURE, 10)

    assert (seen[0]["userId"], seen[0]["evaluationId"]) == ("\ud800", "01-id")
    assert json.loads(sent) == {**seen[0], "userId": "changed"}


@pytest.mark.parametrize(
    "given", [[], "x", 7, {"userId": "\ud800"}, {"a": {"b": ["\x00"]}}, {"a": object()}, {"a": float("nan")}]
)
def test_before_send__gives_what_no_server_takes__costs_that_event_alone(given: Any) -> None:
    queue = _queue(before_send=lambda event: given if event["userId"] == "odd" else event)
    for unit in ("before", "odd", "after"):
        queue.expose_each("01-id", "flag-1", unit, _answer(), UNIX_MS)
        queue.track("purchase", unit, None, None)

    for kind in (EXPOSURE, CONVERSION):
        assert [json.loads(text)["userId"] for text in queue.take(kind, 10)] == ["before", "after"]


@pytest.mark.parametrize("text", ["\ud800", "x\udc00\U0001f600", "zero\x00"])
def test_conversion__text_that_no_server_reads__is_refused_at_the_call(text: str) -> None:
    queue = _queue()
    for name, unit, properties in [
        (text, "user-1", None), ("purchase", text, None), ("purchase", "user-1", {"a": {"b": [text]}}),
        ("purchase", "user-1", {text: 1}),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=r"half of a surrogate pair|U\+0000"):
            queue.track(name, unit, None, properties)
    queue.track("\U0001f600", "\U0001f600", None, {"\U0001f600": "a\\ud800"})

    assert [json.loads(event)["userId"] for event in queue.take(CONVERSION, 10)] == ["\U0001f600"]


@pytest.mark.parametrize("value", [float("nan"), object(), "deep"])
def test_conversion__holds_what_json_cannot_say__is_dropped_alone(value: Any) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    queue = _queue()
    queue.track("before", "user-1", 1.0, {"plan": "pro"})
    with pytest.raises(ValueError, match="JSON cannot say"):
        queue.track("broken", "user-1", None, {"odd": nested if value == "deep" else value})
    queue.track("after", "user-1", None, None)
    found = [json.loads(text) for text in queue.take(CONVERSION, 10)]

    assert [(event["eventName"], event.get("properties")) for event in found] == [
        ("before", {"plan": "pro"}),
        ("after", None),
    ]
