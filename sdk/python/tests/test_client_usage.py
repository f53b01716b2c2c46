"""Usage summaries: what is counted, by whom it may be refused, and what is kept until somebody takes it."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from openflagship import Context, FlagShip
from openflagship.client import MemorySink
from openflagship.client.sending.summaries import Summaries
from openflagship.client.sending.usage import Usage
from openflagship.client.transport.http import Response
from openflagship.engine.answer import FLAG_NOT_FOUND, failure
from sdk_fixtures import treatment
from small_platform import SmallPlatform, eventually
from test_client_values import offline

Connect = Callable[..., FlagShip]


def _counted(usage: Usage) -> dict[tuple[str, str], int]:
    rows = (usage.take() or {"flags": []})["flags"]
    return {(row["flagKey"], row["variant"] or row["errorCode"]): row["count"] for row in rows}


def test_usage__of_a_minute__counts_flags_variants_reasons_and_unknown_keys(
    platform: SmallPlatform, connect: Connect
) -> None:
    client = connect(usage_seconds=3600)
    for _ in range(3):
        client.is_enabled("asked", "u")
    client.is_enabled("asked", None)
    client.string("asked", "u", "")
    for number in range(150):
        client.is_enabled(f"unknown-{number}", "u")
    client.close()
    (summary,) = platform.summaries

    rows = [row for row in summary["flags"] if row["variant"]]
    assert sorted((row["flagKey"], row["variant"], row["reason"], row["count"]) for row in rows) == [
        ("asked", "control", "DEFAULT", 1), ("asked", "treatment", "ROLLOUT", 3),
    ]  # fmt: skip
    assert [row["errorCode"] for row in summary["flags"] if not row["variant"]] == ["TYPE_MISMATCH"]
    assert len(summary["unknownFlags"]) == 100
    assert summary["unknownFlagsUnnamed"] == 50


def test_usage__server_without_the_route__is_asked_once(
    platform: SmallPlatform, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "openflagship")
    platform.fail["/api/events/usage"] = 404
    client = connect(usage_seconds=0.02)

    def is_said() -> bool:
        client.is_enabled("asked", "u")
        return "no route for usage" in caplog.text

    eventually(is_said)
    client.is_enabled("asked", "u")
    client.close()
    assert [path for _, path, _ in platform.asked].count("/api/events/usage") == 1
    assert client.status().events_lost == 0


def test_usage__counted_by_threads_while_it_is_taken__loses_none() -> None:
    client, usage, total = offline(treatment()), Usage(), 0
    client._usage = usage
    askers = [
        threading.Thread(target=lambda: [client.is_enabled("asked", "u") for _ in range(5_000)]) for _ in range(4)
    ]
    for asker in askers:
        asker.start()
    while any(asker.is_alive() for asker in askers):
        total += sum(row["count"] for row in (usage.take() or {"flags": []})["flags"])
    total += sum(row["count"] for row in (usage.take() or {"flags": []})["flags"])

    assert total == 20_000


@pytest.mark.parametrize("key", ["", "a\x00b", "line\nbreak", "\ud800"])
def test_usage__key_that_the_server_refuses__is_counted_without_its_name(key: str) -> None:
    client = offline(treatment())
    client.is_enabled(key, "u")
    client.is_enabled("asked", "u")
    taken: Any = client._usage.take()

    assert (taken["unknownFlags"], taken["unknownFlagsUnnamed"]) == ([], 1)
    assert [row["flagKey"] for row in taken["flags"]] == ["asked"]


def test_usage__taken_again__has_no_row_of_nothing() -> None:
    client = offline(treatment(), treatment("other"))
    client.is_enabled("asked", "u")
    assert client._usage.take()
    assert client._usage.take() is None
    client.is_enabled("other", "u")

    assert _counted(client._usage) == {("other", "treatment"): 1}


def test_usage__after_a_fork__is_the_parents() -> None:
    client = offline(treatment())
    client.is_enabled("asked", "u")
    client._usage.forget()
    client.is_enabled("asked", "u")

    assert _counted(client._usage) == {("asked", "treatment"): 1}


def test_usage__all_flags__counts_each_answer_but_overridden_ones() -> None:
    client = offline(treatment(), treatment("other"))
    client.all_flags("u")
    client.all_flags("u", ["asked", "unknown"])
    client.overrides["asked"] = lambda environment, key, context, default: environment.evaluate(key, context, default)
    client.all_flags("u")
    taken: Any = client._usage.take()

    assert {row["flagKey"]: row["count"] for row in taken["flags"]} == {"asked": 2, "other": 2}
    assert taken["unknownFlags"] == [{"flagKey": "unknown", "count": 1}]


def test_answer__that_was_counted__shows_no_counter() -> None:
    client, twin = offline(treatment()), offline(treatment())
    answer, other = client.variation_detail("asked", "u"), twin.environment.evaluate("asked", Context("u"))
    assert answer.uses == [1]

    assert answer == other
    assert hash(answer) == hash(other)
    assert repr(answer) == repr(other)
    assert "uses" not in answer.to_dict()
    assert "uses" not in dataclasses.asdict(answer)
    for made in (pickle.loads(pickle.dumps(answer)), copy.copy(answer), dataclasses.replace(answer)):
        assert made == answer
        assert not hasattr(made, "uses")


class OnlyEvents(MemorySink):
    def send(self, kind: str, events: Any) -> None:
        if kind == "usage":
            raise ZeroDivisionError("no usage here")
        super().send(kind, events)


def test_usage__sink_refuses_it__takes_events_all_the_same(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    sink = OnlyEvents()
    client = connect(sink=sink, usage_seconds=0.01, breaker_failures=1, breaker_seconds=3600)

    def is_refused() -> bool:
        client.is_enabled("asked", "u")
        return "no usage here" in caplog.text

    eventually(is_refused)
    client.track("purchase", "u")
    assert client.flush(60)
    assert (client.status().is_breaker_open, client.status().error) == (False, None)
    assert len(sink.of("conversion")) == 1


def _summaries(usage: Usage, now: list[float]) -> Summaries:
    return Summaries(usage, {"instance": "one", "sdk": "python/1"}, 60.0, lambda: now[0], is_on=True)


def _answer(status: int, body: bytes, **headers: str) -> Response:
    answer = Response(status, headers)
    answer.body = body
    return answer


@pytest.mark.parametrize(
    ("status", "body", "left"),
    [
        (202, b'{"accepted": 1}', 0), (202, b"", 1), (200, b"<html>log in</html>", 1), (302, b"", 1), (401, b"", 1),
        (429, b"", 1), (503, b"", 1), (400, b"", 0), (413, b"", 0), (422, b"", 0),
    ],
)  # fmt: skip
def test_summaries__each_answer__is_done_with_by_a_receipt_or_a_refusal(status: int, body: bytes, left: int) -> None:
    client = offline(treatment())
    client.is_enabled("asked", "u")
    summaries = _summaries(client._usage, [0.0])
    summaries.sum_up(is_last=True)
    summaries.note(_answer(status, body))

    assert len(summaries.waiting) == left


def test_summaries__more_rows_than_the_server_takes__go_in_parts() -> None:
    usage = Usage()
    answer = offline(treatment()).variation_detail("asked", "u")
    for number in range(25_000):
        usage.begin(f"flag-{number}", answer)
    usage.count_failure("gone", failure(None, FLAG_NOT_FOUND, None, 1, False))
    summaries = _summaries(usage, [0.0])
    summaries.sum_up(is_last=True)
    parts = [json.loads(text) for _, text in summaries.waiting]

    assert [len(part["flags"]) for part in parts] == [10_000, 10_000, 5_000]
    assert len({row["flagKey"] for part in parts for row in part["flags"]}) == 25_000
    assert [len(part["unknownFlags"]) for part in parts] == [1, 0, 0]


def test_summaries__too_many_wait__go_into_a_later_one() -> None:
    client, now = offline(treatment()), [0.0]
    summaries = _summaries(client._usage, now)
    for minute in range(1, 31):
        client.is_enabled("asked", "u")
        now[0] = minute * 60.0
        summaries.sum_up()
    assert len(summaries.waiting) == 10
    # It is no time yet: nobody is to be woken for it at once.
    assert summaries.due_at == now[0] + 60.0
    summaries.waiting.popleft()
    now[0] += 60.0
    summaries.sum_up()
    (row,) = json.loads(summaries.waiting[-1][1])["flags"]

    assert row["count"] == 20
    client.is_enabled("asked", "u")
    summaries.sum_up(is_last=True)
    assert len(summaries.waiting) == 11


def test_summaries__server_without_the_route__is_asked_again_in_an_hour() -> None:
    client, now = offline(treatment()), [0.0]
    summaries = _summaries(client._usage, now)
    posted: Counter[int] = Counter()

    def post(_kind: str, _payload_id: str, _text: str) -> Any:
        status = 404 if now[0] < 3600 else 202
        posted[status] += 1
        return _answer(status, b'{"accepted": 1}')
        yield

    for minute in range(1, 90):
        now[0] = minute * 60.0
        client.is_enabled("asked", "u")
        summaries.sum_up()
        for _ in summaries.send(post, None):
            pass

    assert posted[404] == 1
    assert posted[202] >= 10
    assert not summaries.waiting
    assert _counted(client._usage) == {}
