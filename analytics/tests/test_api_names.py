"""POST events/*: what is said of ids used twice, and of names that nobody knows; and what units beside get."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django_redis import get_redis_connection
from openflagship.ids import uuid7

from analytics import selectors
from analytics.enrichment.known_names import KNOWN_NAMES
from analytics.models import Conversion
from analytics.services import store_events
from analytics.stores.protocols import EventStore
from analytics.testing import empty_stream, streamed
from analytics.tests.conftest import NOON, Api


@pytest.fixture(autouse=True)
def _nothing_streamed(db: None) -> None:
    empty_stream()


def _purchase(event_id: Any, **changes: Any) -> dict[str, Any]:
    return {"id": str(event_id), "userId": "alice", "eventName": "purchase", "value": 10, **changes}


def _store() -> None:
    for batch in streamed():
        store_events(batch)


def _let_claims_end() -> None:
    redis = get_redis_connection("default")
    redis.delete(*redis.keys(f"{settings.REDIS_PREFIX}:claim:*"))


@pytest.mark.parametrize("text", ["order-7", uuid4(), uuid7()], ids=["text", "uuid4", "uuid7"])
def test_id__of_two_names_and_of_two_units__counts_each_once(
    any_store: EventStore, api: Api, environment: Any, text: Any
) -> None:
    batch = [_purchase(text), _purchase(text, eventName="revenue"), _purchase(text, userId="bob")]
    for _ in range(2):
        answer = api.post("events/conversion", {"events": [*batch, batch[0]]})
        assert answer.json() == {"accepted": 4, "rejected": []}
        _store()
    counts = [selectors.event_count(environment.pk, name, NOON) for name in ("purchase", "revenue")]
    assert counts == [2, 1]


OTHER = [{"value": 11}, {"properties": {"a": 1}}, {"timestamp": "2026-01-05T00:00:00Z"}]


@pytest.mark.parametrize("changes", OTHER)
@pytest.mark.parametrize("is_stored", [True, False])
def test_id__with_other_content__is_refused_by_name(
    any_store: EventStore, api: Api, environment: Any, changes: dict[str, Any], is_stored: bool
) -> None:
    first = _purchase("order-7", timestamp=datetime.now(UTC).isoformat(), properties={"b": 2, "c": 1.5})
    assert api.post("events/conversion", first).status_code == 202
    if is_stored:
        _store()
    for body in ({**first, **changes}, {"events": [{**first, **changes}, first]}):
        answer = api.post("events/conversion", body)
        problems = answer.json().get("rejected", answer.json().get("errors"))
        assert [problem["code"] for problem in problems] == ["id_reused"]
        assert "purchase" in problems[0]["detail"]
        assert (answer.status_code, answer.json().get("accepted")) == ((202, 1) if "events" in body else (400, None))
    _store()
    assert [row.value for row in selectors.events(environment.pk, "purchase", NOON)] == [10.0]


def test_id__twice_in_a_batch_with_other_content__first_counts(api: Api) -> None:
    answer = api.post("events/conversion", {"events": [_purchase("a"), _purchase("a", value=2), _purchase("b")]})
    assert answer.json()["accepted"] == 2
    assert [(one["index"], one["code"]) for one in answer.json()["rejected"]] == [(1, "id_reused")]


def test_id__sent_again_without_its_time__is_the_same_event(api: Api) -> None:
    for body in (_purchase("a", timestamp=datetime.now(UTC).isoformat()), _purchase("a")):
        assert api.post("events/conversion", body).status_code == 202


def test_id__sent_again_with_numbers_that_a_store_writes_otherwise__is_the_same_event(
    any_store: EventStore, api: Api
) -> None:
    numbers = [1e16, 2.0, -0.0, 1.2345678901234568e18, 1e19, -1e19, 1e300, 1e-7, {"deep": 3e17}, 2**64 - 1, "1e16"]
    body = _purchase("a", properties={"first": 1e16, "all": numbers})
    for _ in range(2):
        assert api.post("events/conversion", body).status_code == 202
        _store()
        _let_claims_end()
    close = {"first": 1e16 + 2, "all": numbers}
    assert api.post("events/conversion", _purchase("a", properties=close)).status_code == 400


@pytest.fixture
def known(environment: Any) -> Any:
    """The flag `new-checkout` buckets by company, and the metric `revenue` counts `order_paid`."""
    before = (KNOWN_NAMES._flags, KNOWN_NAMES._units, KNOWN_NAMES._metrics)
    variants = {"new-checkout": ["control", "treatment"], "odd": None}
    KNOWN_NAMES.flags_from(lambda _: variants, lambda _: ["companyId"])
    KNOWN_NAMES.metrics_from(lambda _, keys: {key: "order_paid" for key in keys if key in {"revenue", "order_paid"}})
    yield
    KNOWN_NAMES.flags_from(*before[:2])
    KNOWN_NAMES.metrics_from(before[2])


def test_metric__under_its_key__is_its_event_and_an_unknown_key_is_named(api: Api, known: Any) -> None:
    events = [{"userId": "a", "metricKey": key, "id": "1"} for key in ("revenue", "order_paid", "typo", "typo")]
    answer = api.post("events/metrics", {"events": events}).json()
    (batch,) = streamed()
    assert [event.event_name for event in batch.conversions] == ["order_paid", "order_paid", "typo", "typo"]
    assert len({event.event_id for event in batch.conversions}) == 2
    ((index, code, detail),) = [tuple(one.values()) for one in answer["warnings"]]
    assert (index, code, "'typo'" in detail) == (2, "unknown_metric", True)


def test_exposures__of_unknown_flags_and_variants__are_stored_and_named(api: Api, known: Any) -> None:
    named = [("new-checkout", "control"), ("gone", "a"), ("new-checkout", "third"), ("gone", "a"), ("odd", "x")]
    events = [
        {
            "evaluationId": str(uuid7()),
            "flagKey": flag,
            "variant": variant,
            "userId": "a",
            "timestamp": datetime.now(UTC).isoformat(),
        }
        for flag, variant in named
    ]
    answer = api.post("events/exposure", {"events": events}).json()
    assert answer["accepted"] == 5
    assert [(one["index"], one["code"]) for one in answer["warnings"]] == [(1, "unknown_flag"), (2, "unknown_variant")]
    assert "'gone'" in answer["warnings"][0]["detail"]
    assert "1 more" in answer["warnings"][0]["detail"]


def test_conversion__with_a_unit_beside__counts_for_both(api: Api, known: Any, environment: Any) -> None:
    bodies = [
        {"userId": user, "eventName": "purchase", "id": "1", "properties": {"companyId": company}}
        for user, company in (("alice", "acme"), ("bob", "acme"), ("carl", 7), ("dora", None))
    ]
    for _ in range(2):
        assert api.post("events/conversion", {"events": bodies}).json()["accepted"] == 4
        _store()
    units = sorted(Conversion.objects.values_list("unit_id", flat=True))
    assert units == ["7", "acme", "acme", "alice", "bob", "carl", "dora"]


def test_conversion__with_a_unit_beside__carries_numbers_alone_to_that_unit(
    api: Api, known: Any, environment: Any
) -> None:
    """Erasing the user leaves the company's events, and figures read numbers alone."""
    properties = {"companyId": "acme", "email": "alice@example.org", "shipping": 4.5, "items": 2, "gift": True}
    sent = {"userId": "alice", "eventName": "purchase", "properties": {**properties, "address": {"street": "Elm"}}}
    assert api.post("events/conversion", sent).status_code == 202
    assert api.post("events/conversion", {**sent, "properties": {"companyId": "bolt"}}).status_code == 202
    _store()
    found = dict(Conversion.objects.exclude(unit_id="alice").values_list("unit_id", "properties"))
    assert found == {"acme": {"shipping": 4.5, "items": 2}, "bolt": None}
    shipped = selectors.events(environment.pk, "purchase", NOON, value_property="shipping")
    assert sorted((row.unit_id, row.value) for row in shipped if row.value) == [("acme", 4.5), ("alice", 4.5)]
