"""POST events/*: what is accepted, what is refused and how, and where accepted events go."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django_redis import get_redis_connection
from openflagship.ids import uuid7
from pytest_django import Settings

from analytics.event_records import Batch, event_id_of
from analytics.models import Conversion, Exposure
from analytics.pipeline.brokers import broker
from analytics.testing import empty_stream, streamed
from analytics.tests.conftest import Api


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _exposure(**changes: Any) -> dict[str, Any]:
    body = {"evaluationId": str(uuid7()), "flagKey": "new-checkout", "userId": "alice", "variant": "treatment"}
    return {**body, "timestamp": _now(), **changes}


@pytest.fixture
def away_redis(settings: Settings) -> Iterator[None]:
    """A Redis that nobody answers for: the client of this test points to a socket that does not exist."""
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    broker.cache_clear()
    yield
    broker.cache_clear()


def test_exposure__single__is_in_the_stream(api: Api, environment: Any) -> None:
    body = _exposure(attributes={"plan": "pro", "userAgent": "x/1"}, experiment="e1", reason="SPLIT", configVersion=7)
    response = api.post("events/exposure", body)
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "rejected": []})
    ((event,),) = [batch.exposures for batch in streamed()]
    assert (str(event.evaluation_id), event.environment_id) == (body["evaluationId"], environment.pk)
    assert (event.unit_id, event.variant, event.experiment, event.config_version) == ("alice", "treatment", "e1", 7)
    assert (event.user_agent, json.loads(event.attributes)) == ("x/1", body["attributes"])


def test_conversion__without_id_and_time__gets_both(api: Api) -> None:
    response = api.post("events/conversion", {"userId": "alice", "eventName": "purchase", "value": 12})
    assert response.status_code == 202
    ((event,),) = [batch.conversions for batch in streamed()]
    assert (event.event_name, event.value, event.event_id.version) == ("purchase", 12.0, 7)
    assert event.occurred_ms == event.received_ms


def test_metric__by_metric_key__is_a_conversion(api: Api) -> None:
    assert api.post("events/metrics", {"userId": "alice", "metricKey": "latency", "value": 0.2}).status_code == 202
    ((event,),) = [batch.conversions for batch in streamed()]
    assert (event.event_name, event.value) == ("latency", 0.2)


def test_conversion__same_free_text_id__is_the_same_event(api: Api) -> None:
    for _ in range(2):
        api.post("events/conversion", {"id": "order 1234", "userId": "alice", "eventName": "purchase"})
    first, second = (batch.conversions[0] for batch in streamed())
    assert first.event_id == second.event_id


@pytest.mark.parametrize(
    "text",
    [
        "order-7",
        "ü" * 50,
        "7b0e3a86-0f0d-5a44-9f57-2f1c5d1d6a2e",
        "1f2c55a6-fa9b-468f-a842-d1edc5d8e93e",
        "01a22575-e61b-79f4-96c1-45b9833e0842",
    ],
    ids=["text", "long", "uuid5", "uuid4", "uuid7"],
)
def test_conversion_id__same_text_of_another_name_or_unit__is_another_event(text: str) -> None:
    triples = [("purchase", "alice"), ("revenue", "alice"), ("purchase", "bob"), ("purchaseal", "ice"), ("a", "b")]
    ids = {event_id_of(text, name, unit) for name, unit in triples}
    assert len(ids) == len(triples)
    assert ids == {event_id_of(text, name, unit) for name, unit in triples}
    # A UUIDv7's time says where the event is stored; of any other text the version says that it was chosen.
    own = UUID(text) if len(text) == 36 else None
    timed = own is not None and own.version == 7
    assert {each.version for each in ids} == {7 if timed else 8}
    assert not timed or {each.int >> 80 for each in ids} == {own.int >> 80}


def test_conversion_id__a_uuid_written_in_other_ways__is_the_same() -> None:
    own = uuid4()
    written = (str(own), own.hex, f"{{{own}}}", own.urn, str(own).upper())
    assert len({event_id_of(text, "purchase", "alice") for text in written}) == 1


def test_conversion__same_idempotency_key__is_the_same_event(api: Api) -> None:
    body = {"events": [{"userId": "alice", "eventName": "a"}, {"userId": "alice", "eventName": "b"}]}
    for _ in range(2):
        api.post("events/conversion", body, **{"Idempotency-Key": "k1"})
    first, second = ([event.event_id for event in batch.conversions] for batch in streamed())
    assert first == second
    assert len(set(first)) == 2


def test_batch__gzipped__is_read(api: Api) -> None:
    body = gzip.compress(json.dumps({"events": [_exposure(), _exposure()]}).encode())
    response = api.post("events/exposure", body, **{"Content-Encoding": "gzip"})
    assert (response.status_code, response.json()["accepted"]) == (202, 2)


def test_batch__seven_bad_of_5000__stores_the_others_and_names_the_seven(api: Api) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=25)).isoformat()
    bad = {
        3: ({"userId": ""}, "invalid"),
        10: ({"userId": 5}, "invalid_type"),
        499: ({"timestamp": ahead}, "timestamp_in_future"),
        500: ({"evaluationId": "x"}, "invalid"),
        2500: ({"timestamp": "2026-01-01T00:00:00"}, "invalid"),
        4998: ({"userId": "a\x00b"}, "invalid_text"),
        4999: ({"attributes": [1]}, "invalid_type"),
    }
    events = [_exposure(**bad.get(index, ({},))[0]) for index in range(5000)]
    response = api.post("events/exposure", {"events": events})
    assert (response.status_code, response.json()["accepted"]) == (202, 4993)
    rejected = {one["index"]: one["code"] for one in response.json()["rejected"]}
    assert rejected == {index: code for index, (_, code) in bad.items()}
    assert sum(len(batch) for batch in streamed()) == 4993


def test_batch__half_a_surrogate_pair__costs_its_own_event_alone(api: Api) -> None:
    events = [_exposure(), _exposure(userId="\ud83d"), _exposure(userId="\\ud83d"), _exposure(userId="\U0001f600")]
    response = api.post("events/exposure", json.dumps({"events": events}).encode())
    assert (response.status_code, response.json()["accepted"]) == (202, 3)
    assert [(one["index"], one["code"]) for one in response.json()["rejected"]] == [(1, "invalid_text")]
    (batch,) = streamed()
    assert [event.unit_id for event in batch.exposures] == ["alice", "\\ud83d", "\U0001f600"]
    alone = api.post("events/exposure", json.dumps(_exposure(userId="\ud83d")).encode())
    assert (alone.status_code, alone.json()["errors"][0]["code"]) == (400, "invalid_text")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "parse_error"),
        (b"{", 400, "parse_error"),
        (b"[]", 400, "invalid_type"),
        (b'{"events": 5}', 400, "invalid_type"),
        (b'{"userId": "alice"}', 400, "required"),
        (json.dumps({"events": [{}] * 5001}).encode(), 413, "payload_too_large"),
        (b" " * (5 * 1024 * 1024 + 1), 413, "payload_too_large"),
    ],
    ids=["empty", "no JSON", "a list", "events no list", "a field missing", "5,001 events", "over 5 MB"],
)
def test_body__not_acceptable__is_refused_with_a_code(api: Api, body: bytes, status: int, code: str) -> None:
    response = api.post("events/exposure", body)
    assert response.status_code == status
    assert response.json()["errors"][0]["code"] == code
    assert streamed() == []


def test_body__gzip_bomb__is_refused(api: Api) -> None:
    bomb = gzip.compress(b" " * (50 * 1024 * 1024))
    assert api.post("events/exposure", bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_key__none_or_unknown__is_401(api: Api) -> None:
    api.headers = {}
    assert api.post("events/exposure", _exposure()).status_code == 401
    api.headers = {"Authorization": f"Bearer fs_server_{'a' * 51}"}
    assert api.post("events/exposure", _exposure()).status_code == 401


def test_environment__is_the_keys__whatever_the_body_says(api: Api, environment: Any, other_environment: Any) -> None:
    api.post("events/exposure", _exposure(environmentId=other_environment.pk))
    ((event,),) = [batch.exposures for batch in streamed()]
    assert event.environment_id == environment.pk


def test_redis_away__events_go_to_postgresql(api: Api, away_redis: None) -> None:
    assert api.post("events/exposure", _exposure()).status_code == 202
    body = {"userId": "alice", "eventName": "purchase", "id": str(uuid4())}
    assert api.post("events/conversion", body).status_code == 202
    assert (Exposure.objects.count(), Conversion.objects.count()) == (1, 1)


def test_redis_and_postgresql_away__is_503_with_retry_after(
    api: Api, away_redis: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_batch: Batch) -> None:
        from django.db import OperationalError  # noqa: PLC0415 - this test alone

        raise OperationalError("connection refused")

    monkeypatch.setattr("analytics.pipeline.event_storage.store_events", gone)
    response = api.post("events/exposure", _exposure())
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["errors"][0]["code"] == "unavailable"


def test_stream_full__refuses_and_keeps_what_is_there(api: Api, settings: Settings) -> None:
    settings.EVENT_STREAM_MAX_BATCHES = 2
    statuses = [api.post("events/exposure", _exposure()).status_code for _ in range(3)]
    assert statuses == [202, 202, 503]
    assert broker().length() == 2
    assert Exposure.objects.count() == 0


def test_prefix__of_the_stream__is_the_settings() -> None:
    broker().append([b"a"])
    assert get_redis_connection("default").xlen(f"{settings.REDIS_PREFIX}:events") == 1
    empty_stream()
