"""Typed getters, hooks, sinks and receipts: what happens around an evaluation and on an event's way out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import openflagship
import pytest
from documents import flag
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openflagship import Context, FlagShip
from openflagship.client import FileSink, Hook, HttpSink, MemorySink, Options
from openflagship.client.following.refusals import RefusedError
from openflagship.client.options import Settings
from openflagship.client.sending.receipts import reason_of, receipt_of
from openflagship.client.transport.backoff import seconds_of
from openflagship.client.transport.http import Response
from openflagship.engine import Answer
from openflagship.openfeature import FlagShipProvider
from openflagship.telemetry import OpenTelemetryHook
from openflagship.testing import override
from opentelemetry.sdk.trace import TracerProvider
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually
from test_client_values import JSON_FLAG, offline

Connect = Callable[..., FlagShip]
TYPED = {
    "boolean": (treatment("boolean"), True, False),
    "string": (
        flag(
            key="string", type="string", variants=[{"key": "control", "value": "a"}, {"key": "treatment", "value": "b"}]
        ),
        "a",
        "default",
    ),
    "number": (
        flag(
            key="number", type="number", variants=[{"key": "control", "value": 1.5}, {"key": "treatment", "value": 2}]
        ),
        1.5,
        0,
    ),
    "json": ({**JSON_FLAG, "key": "json"}, {"a": {"b": [1, {"c": 2}]}}, {}),
}


@pytest.mark.parametrize("asked", TYPED)
@pytest.mark.parametrize("served", TYPED)
def test_getter__of_each_type__gives_its_own_and_the_default_for_another(asked: str, served: str) -> None:
    client = offline(TYPED[served][0])
    default = TYPED[asked][2]
    detail = getattr(client, f"{asked}_detail")(served, "u", default)
    value = getattr(client, asked)(served, "u", default)

    assert value == detail.value
    if asked == served:
        assert (detail.value, detail.error_code) == (TYPED[asked][1], None)
    else:
        assert (detail.value, detail.reason, detail.error_code) == (default, "ERROR", "TYPE_MISMATCH")
        assert served in (detail.detail or "")
    assert client.boolean_detail("unknown", "u", True).error_code == "FLAG_NOT_FOUND"


def test_getter__of_another_type__logs_no_exposure(platform: SmallPlatform, connect: Connect) -> None:
    platform.flags |= {kind: TYPED[kind][0] for kind in ("string", "number")}
    client = connect()
    provider, user = FlagShipProvider(client), EvaluationContext("u")
    assert client.string("asked", "u", "default") == "default"
    assert client.is_enabled("string", "u", default=True) is True
    assert provider.resolve_string_details("asked", "default", user).error_code == ErrorCode.TYPE_MISMATCH
    assert provider.resolve_integer_details("number", 7, user).value == 7
    client.add_hook(Hook())
    assert client.is_enabled("string", "u", default=True) is True
    client.track_exposure("asked", "shown")
    assert client.flush(60)

    assert [event["userId"] for event in platform.exposures()] == ["shown"]


class Noting(Hook):
    def __init__(self, name: str, calls: list[tuple[Any, ...]]) -> None:
        self.name, self.calls = name, calls

    def before(self, question: Any) -> Mapping[str, Any] | None:
        self.calls.append((self.name, "before", question.kind))
        return {"plan": "pro"} if self.name == "one" else None

    def after(self, question: Any, answer: Answer) -> None:
        self.calls.append((self.name, "after", dict(question.context.attributes)))

    def error(self, question: Any, answer: Answer) -> None:
        self.calls.append((self.name, "error", answer.error_code))
        raise ZeroDivisionError

    def finally_after(self, question: Any, answer: Answer) -> None:
        self.calls.append((self.name, "finally"))


def test_hooks__around_an_evaluation__are_called_in_order_and_change_no_answer() -> None:
    calls: list[tuple[Any, ...]] = []
    client = offline(treatment(), hooks=[Noting("one", calls)])
    end = client.add_hook(Noting("two", calls))
    assert client.is_enabled("asked", "u", {"x": 1})
    attributes = {"x": 1, "plan": "pro"}

    assert calls == [
        ("one", "before", "boolean"), ("two", "before", "boolean"), ("two", "after", attributes),
        ("one", "after", attributes), ("two", "finally"), ("one", "finally"),
    ]  # fmt: skip
    end()
    calls.clear()
    assert client.variation("unknown", "u", "default") == "default"
    assert client.string("asked", "u", "default") == "default"
    assert [call[1:] for call in calls if call[1] == "error"] == [
        ("error", "FLAG_NOT_FOUND"),
        ("error", "TYPE_MISMATCH"),
    ]


@pytest.mark.parametrize("given", [[1], 7, "text", {1: 2}, {"x": object()}])
def test_hook__gives_no_attributes__changes_no_answer(given: Any) -> None:
    class Odd(Hook):
        def before(self, question: Any) -> Any:
            return given

    client = offline(treatment(), hooks=[Odd()])

    assert client.is_enabled("asked", "u", {"x": 1})


@pytest.mark.parametrize("value", [7, "text", True, None])
def test_getter__of_a_json_flag_that_holds_a_scalar__gives_it(value: Any) -> None:
    variants = [{"key": "control", "value": value}, {"key": "treatment", "value": [1]}]
    client = offline(flag(key="asked", type="json", variants=variants))
    answer = client.json_detail("asked", "u", {})

    assert (answer.value, answer.error_code) == (value, None)


def test_hooks__override_of_another_type__are_called_once() -> None:
    calls: list[tuple[Any, ...]] = []
    client = offline(treatment(), hooks=[Noting("one", calls)])
    with override(client, "asked", value=7):
        assert client.boolean_detail("asked", "u", False).error_code == "TYPE_MISMATCH"

    assert [call[1] for call in calls] == ["before", "error", "finally"]


@pytest.mark.parametrize("hooks", [[], [Hook()]], ids=["plain", "hooks"])
def test_evaluation__fails__is_tried_once(hooks: list[Hook]) -> None:
    client, asked = offline(treatment(), hooks=hooks), []

    def fail(context: Any, _memo: Any = None) -> Answer:
        asked.append(context)
        raise ZeroDivisionError

    client.environment.evaluators["asked"] = fail
    answer = client.variation_detail("asked", "u", "default")

    assert (answer.value, answer.error_code, answer.detail) == ("default", "GENERAL", "ZeroDivisionError")
    assert len(asked) == 1


def test_telemetry__hook__writes_the_evaluation_on_the_span() -> None:
    client = offline(treatment(), hooks=[OpenTelemetryHook(is_showing_user=True, is_showing_value=True)])
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        client.is_enabled("asked", "u")
        client.is_enabled("unknown", "u")
    found = [(event.name, dict(event.attributes)) for event in span.events]  # type: ignore[attr-defined]  # the SDK's span

    shared = {"feature_flag.provider.name": "FlagShip", "feature_flag.context.id": "u", "feature_flag.version": "7"}
    assert found == [
        ("feature_flag.evaluation", {
            **shared, "feature_flag.key": "asked", "feature_flag.result.reason": "split",
            "feature_flag.result.variant": "treatment", "feature_flag.result.value": True,
        }),
        ("feature_flag.evaluation", {
            **shared, "feature_flag.key": "unknown", "feature_flag.result.reason": "error",
            "feature_flag.result.value": False, "error.type": "flag_not_found",
        }),
    ]  # fmt: skip


class Failing:
    def __init__(self) -> None:
        self.taken: list[str] = []
        self.attempts = 0

    def send(self, kind: str, events: Any) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise ZeroDivisionError("not yet")
        self.taken += [event.get("evaluationId", "") for event in events]


def test_sinks__file_memory_and_own__take_what_the_platform_would(
    platform: SmallPlatform, connect: Connect, tmp_path: Path
) -> None:
    own, memory = Failing(), MemorySink()
    path = tmp_path / "events.jsonl"
    for sink in (own, memory, FileSink(path)):
        client = connect(sink=sink, usage_seconds=3600)
        client.is_enabled("asked", "u")
        eventually(lambda client=client: client.status().events_sent == 1)
        client.close()

    assert own.attempts >= 2
    assert len(own.taken[0]) == 36
    assert [event["userId"] for event in memory.of("exposure")] == ["u"]
    assert [row["count"] for row in memory.of("usage")[0]["flags"]] == [1]
    assert path.read_text().count('"kind":"exposure"') == 1
    assert platform.events == []


def test_http_sink__another_address__gets_events_without_the_key(platform: SmallPlatform, connect: Connect) -> None:
    other = SmallPlatform()
    client = connect(sink=HttpSink(other.url, {"X-Collector": "yes"}), close_wait_seconds=0.1)
    client.is_enabled("asked", "u")
    sent = eventually(lambda: [headers for _, path, headers in other.asked if path == "/api/events/exposure"])

    assert "authorization" not in sent[0]
    assert sent[0]["x-collector"] == "yes"
    client.close()
    other.close()


def test_retry__keeps_its_id_and_the_next_batch_has_another(platform: SmallPlatform, connect: Connect) -> None:
    platform.fail["/api/events/exposure"] = 503
    client = connect()
    client.is_enabled("asked", "u")

    def ids() -> list[str]:
        return [head["idempotency-key"] for _, path, head in list(platform.asked) if path == "/api/events/exposure"]

    eventually(lambda: len(ids()) >= 2)
    assert len(set(ids())) == 1
    del platform.fail["/api/events/exposure"]
    eventually(lambda: client.status().events_sent == 1)
    client.is_enabled("asked", "v")
    eventually(lambda: client.status().events_sent == 2)
    assert len(set(ids())) == 2


def test_retry_after__said_by_the_server__is_obeyed_by_a_flush_too(platform: SmallPlatform, connect: Connect) -> None:
    platform.fail["/api/events/exposure"] = 429
    platform.retry_after = "300"
    client = connect(close_wait_seconds=0.1)
    client.is_enabled("asked", "u")
    eventually(lambda: "429" in (client.status().error or ""))
    before = len(platform.asked)

    assert not client.flush(0.3)
    assert [path for _, path, _ in platform.asked[before:] if path == "/api/events/exposure"] == []


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (202, b'{"accepted": 1, "rejected": []}', []),
        (202, b'{"accepted": 0, "rejected": [{"index": 0, "code": "too_old", "detail": "Why."}]}', ["too_old: Why."]),
        (200, b'{"accepted": 1, "rejected": []}', None),
        (202, b"<html>Sign in</html>", None),
        (202, b"{}", None),
        (204, b"", None),
    ],
)
def test_receipt__only_202_with_accepted__is_one(status: int, body: bytes, refused: list[str] | None) -> None:
    response = Response(status, {})
    response.body = body
    found = receipt_of(response)

    assert (None if found is None else [f"{one.code}: {one.detail}" for one in found]) == refused


def test_sink__ends_its_thread__is_offered_the_events_again(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaving(MemorySink):
        is_left = False

        def send(self, kind: str, events: Any) -> None:
            if not self.is_left:
                self.is_left = True
                raise SystemExit(1)
            super().send(kind, events)

    monkeypatch.setattr("openflagship.client.transport.threads._AFTER_BUG_SECONDS", 0.01)
    sink = Leaving()
    client = connect(sink=sink)
    client.is_enabled("asked", "u")

    eventually(lambda: sink.of("exposure"))


def test_retry_after__as_seconds_date_or_nonsense__is_read() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)

    assert (seconds_of("7"), seconds_of("999999"), seconds_of("soon"), seconds_of(None)) == (7.0, 600.0, None, None)
    assert 90 < (seconds_of(format_datetime(later, usegmt=True)) or 0) <= 100
    refused = Response(503, {"retry-after": format_datetime(later, usegmt=True)})
    assert 90 < RefusedError(refused, "the snapshot").retry_after_seconds <= 100


def test_reason__with_control_characters__is_one_line_of_text() -> None:
    response = Response(422, {})
    response.body = b'{"errors": [{"code": "invalid", "detail": "no\\nsuch \\u001b[31m unit"}]}'

    assert reason_of(response) == " (no such  [31m unit)"


def test_queue__in_bytes__is_bounded_and_what_is_dropped_is_not_remembered(
    platform: SmallPlatform, connect: Connect
) -> None:
    platform.gates["/api/events/exposure"] = threading.Event()
    client = connect(most_bytes=2_000, flush_seconds=3600)
    for number in range(50):
        client.is_enabled("asked", f"user-{number}")
        client.track("purchase", f"user-{number}", properties={"note": "x" * 200})

    assert client.status().events_pending + client.status().events_dropped == 100
    assert 2 <= client.status().events_pending <= 10
    assert len(client._queue.seen) <= 10
    platform.gates["/api/events/exposure"].set()
    assert client.flush(60)
    client.is_enabled("asked", "user-49")
    assert client.flush(60)
    assert "user-49" in {event["userId"] for event in platform.exposures()}


def test_settings__by_name__are_those_of_the_options() -> None:
    assert Settings.__annotations__.keys() == Options.__dataclass_fields__.keys()
    assert Context("u").with_attributes({"x": 1}).user_id == "u"


def test_version__of_the_package__is_the_one_that_is_built() -> None:
    project = Path(__file__).resolve().parents[1]
    text = (project / "pyproject.toml").read_text()

    assert f'version = "{openflagship.__version__}"' in text
    assert f'readme = "{next(project.glob("README.md")).name}"' in text
    assert (project / "LICENSE").read_bytes() == (project.parents[1] / "LICENSE").read_bytes()
    assert (project / "openflagship" / "py.typed").exists()
