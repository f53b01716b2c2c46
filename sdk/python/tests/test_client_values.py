"""What a caller passes is taken exactly, written down at the call, and what is handed out cannot change an answer."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from documents import flag, snapshot
from openfeature.evaluation_context import EvaluationContext
from openflagship import Context, FlagShip, engine
from openflagship.client import MemorySink, Options
from openflagship.client.transport.effects import Endpoint, Write
from openflagship.openfeature import FlagShipProvider
from sdk_fixtures import treatment
from small_platform import SmallPlatform

Connect = Callable[..., FlagShip]
PERSON = UUID("0198f2ae-7d5a-7000-8000-00000000002a")
MARCH = datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1)))


class Plan(Enum):
    PRO = "pro"


class Level(IntEnum):
    HIGH = 3


def ruled(operator: str, value: Any, **changes: Any) -> dict[str, Any]:
    """A flag that is true for whom the attribute `x` satisfies the operator."""
    rule = {
        "id": "r1",
        "priority": 1,
        "variant": "treatment",
        "conditions": [{"attribute": "x", "operator": operator, "value": value}],
    }
    return flag(**{"key": "asked", "rules": [rule], **changes})


def offline(*flags: dict[str, Any], **settings: Any) -> FlagShip:
    return FlagShip("", "http://offline.invalid", bootstrap=snapshot(*flags), is_offline=True, **settings)


JSON_FLAG = flag(
    key="asked",
    type="json",
    variants=[{"key": "control", "value": {"a": {"b": [1, {"c": 2}]}}}, {"key": "treatment", "value": [1]}],
)


@pytest.mark.parametrize(
    "context",
    [
        PERSON,
        str(PERSON),
        Context(PERSON),
        engine.Context(str(PERSON)),
        {"userId": PERSON},
        Context(Context(PERSON)),
    ],
    ids=lambda context: type(context).__name__,
)
def test_user__of_any_kind__is_the_same_user(context: Any) -> None:
    client = offline(treatment(targets=[{"variant": "control", "userIds": [str(PERSON)]}]))

    assert client.variation_detail("asked", context).reason == "TARGET_MATCH"
    assert not client.is_enabled("asked", context)
    assert not client.is_enabled("asked", context, {"plan": "pro"})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (2**53 + 1, "9007199254740993"),
        (-(2**70), "-1180591620717411303424"),
        (Decimal("12345678901234567890"), "12345678901234567890"),
        (Level.HIGH, "3"),
        (Plan.PRO, "pro"),
        (42.0, "42"),
    ],
)
def test_user_id__of_pythons_own_types__is_exact(given: Any, text: str) -> None:
    assert Context(given).user_id == text
    assert Context(None, {"account": given}).unit_at("account") == text


@pytest.mark.parametrize("given", [object(), 1.5, True, b"bytes", ["list"], float("nan"), {"no": "id"}])
def test_user_id__that_is_none__is_said_once_for_each_flag(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = offline(treatment(), treatment("other"))
    for _ in range(3):
        assert client.variation_detail("asked", Context(given)).detail == "no_unit"
        client.is_enabled("other", Context(given))

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["asked", "other"]


@pytest.mark.parametrize(
    ("operator", "value", "given"),
    [
        ("after", "2026-03-01T07:59:59Z", MARCH),
        ("before", "2026-03-01T08:00:01Z", MARCH),
        ("after", "2026-03-01T08:59:59Z", MARCH.replace(tzinfo=None)),
        ("before", "2026-03-01T00:00:01Z", date(2026, 3, 1)),
        ("equals", 0.1, Decimal("0.1")),
        ("equals", 12, Decimal("12.00")),
        ("greater_than", 0.3, Fraction(1, 3)),
        ("equals", str(PERSON), PERSON),
        ("equals", "pro", Plan.PRO),
        ("in", ["pro", "team"], [Plan.PRO]),
        ("in", [3, 4], Level.HIGH),
        ("starts_with", "0198", PERSON),
        ("matches", "^0198", PERSON),
        ("in", ["2026-03-01T09:00:00+01:00"], {MARCH}),
    ],
)
@pytest.mark.parametrize("way", ["attributes", "context", "all flags", "segment", "openfeature"])
def test_attribute__of_pythons_own_types__is_compared_exactly(
    operator: str, value: Any, given: Any, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    document = snapshot(ruled(operator, value))
    if way == "segment":
        condition = document["flags"]["asked"]["rules"][0]["conditions"][0]
        document["segments"]["s"] = {"key": "s", "conditions": {"all": [condition]}}
        document["flags"]["asked"]["rules"][0]["conditions"] = [{"operator": "in_segment", "value": ["s"]}]
    client = FlagShip("", "http://offline.invalid", bootstrap=document, is_offline=True)
    if way == "attributes":
        found = client.is_enabled("asked", "u", {"x": given})
    elif way == "all flags":
        found = client.all_flags({"userId": "u", "x": given})["asked"]
    elif way == "openfeature":
        context = EvaluationContext("u", {"x": given})
        found = FlagShipProvider(client).resolve_boolean_details("asked", False, context).value
    else:
        found = client.variation("asked", Context("u", {"x": given}), False)

    assert found is True
    assert caplog.records == []


@pytest.mark.parametrize("given", [object(), b"pro", {"nested": 1}, [object()], timedelta(1), Decimal("NaN"), 1j])
@pytest.mark.parametrize("operator", ["equals", "matches"])
def test_attribute__that_cannot_be_taken__is_said_once_for_each_flag(
    given: Any, operator: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = offline(ruled(operator, "pro"), ruled(operator, "pro", key="other"))
    for _ in range(3):
        assert not client.is_enabled("asked", "u", {"x": given, "unread": object()})
        assert not client.is_enabled("other", "u", {"x": given})

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["asked", "other"]


def test_is_enabled__default_in_third_place__is_the_default() -> None:
    client = offline()

    assert client.is_enabled("unknown", "u", True) is True
    assert client.is_enabled("unknown", "u", None, True) is True
    assert client.is_enabled("unknown", "u", default=True) is True


def test_track__objects_changed_afterwards__change_nothing(platform: SmallPlatform, connect: Connect) -> None:
    client = connect(flush_seconds=3600)
    properties: dict[str, Any] = {"items": []}
    for order in range(3):
        properties["order"] = order
        properties["items"].append(order)
        client.track("purchase", "u", order, properties)
        client.track_metric("revenue", PERSON, Decimal("1.5"), properties)
    properties.clear()
    assert client.flush(60)

    assert [event["properties"] for event in platform.conversions()] == [
        {"items": [0], "order": 0}, {"items": [0, 1], "order": 1}, {"items": [0, 1, 2], "order": 2},
    ]  # fmt: skip
    metrics = [event for event in platform.events if "metricKey" in event]
    assert {(event["metricKey"], event["userId"], event["value"]) for event in metrics} == {
        ("revenue", str(PERSON), 1.5)
    }


def test_track__pythons_own_types_as_properties__arrive_as_text_and_numbers() -> None:
    sink = MemorySink()
    client = FlagShip("fs_server_x", "http://127.0.0.1:9", sink=sink, start_wait_seconds=0)
    given = {
        "at": MARCH,
        "total": Decimal("12.50"),
        "plan": Plan.PRO,
        "who": PERSON,
        "tags": {"a"},
        "deep": [{"n": PERSON}],
    }
    client.track("purchase", 2**60, Decimal(3), given)
    client.close()
    (event,) = sink.of("conversion")

    assert event["userId"] == str(2**60)
    assert event["properties"] == {
        "at": "2026-03-01T09:00:00+01:00", "total": 12.5, "plan": "pro", "who": str(PERSON), "tags": ["a"],
        "deep": [{"n": str(PERSON)}],
    }  # fmt: skip


CHANGES: list[Callable[[Any], Any]] = [
    lambda value: value.update(a=1),
    lambda value: value.__setitem__("a", 1),
    lambda value: value.pop("a"),
    lambda value: value.popitem(),
    lambda value: value.clear(),
    lambda value: value.setdefault("z", 1),
    lambda value: value.__ior__({"z": 1}),
    lambda value: value.__delitem__("a"),
    lambda value: value["a"]["b"].append(1),
    lambda value: value["a"]["b"].__setitem__(0, 9),
    lambda value: value["a"]["b"].sort(key=str),
    lambda value: value["a"]["b"].__iadd__([1]),
    lambda value: value["a"]["b"].__imul__(2),
    lambda value: value["a"]["b"][1].clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_json_value__changed_by_a_caller__refuses(change: Callable[[Any], Any]) -> None:
    client = offline(JSON_FLAG)
    before = json.dumps(client.variation("asked", "u", None))
    for value in (
        client.variation("asked", "u", None),
        client.json("asked", "u", None),
        client.variation_detail("asked", "u").value,
        client.all_flags("u")["asked"],
        client.all_flags_detail("u")["asked"].value,
    ):
        with pytest.raises(TypeError, match="copy"):
            change(value)
    own = FlagShipProvider(client).resolve_object_details("asked", {}, EvaluationContext("u")).value
    change(own)
    for copied in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(copied) is dict
        change(copied)

    assert json.dumps(client.variation("asked", "u", None)) == before


def test_default__changed_after_it_was_served__stays_as_it_was_given() -> None:
    client = offline(JSON_FLAG)
    default: dict[str, Any] = {"a": [1]}
    for served in (
        client.variation("unknown", "u", default),
        client.variation_detail("unknown", "u", default).value,
        client.json("unknown", "u", default),
        client.string_detail("asked", "u", default).value,  # type: ignore[arg-type]  # a caller without types
    ):
        served["a"].append(2)

    assert default == {"a": [1]}


@pytest.mark.parametrize("name", ["hash_key", "signing_secret"])
@pytest.mark.parametrize("given", ["", "  ", 0])
def test_secret__empty__is_refused(name: str, given: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: given})


@pytest.mark.parametrize(
    "given",
    [-1, float("nan"), float("inf"), 10**400, True, "5", None],
    ids=["negative", "nan", "infinite", "huge", "boolean", "text", "none"],
)
@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(Options) if one.name.endswith("_seconds")])
def test_seconds__that_no_clock_takes__are_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: given})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, given) for name in ("flush_count", "most_events") for given in (0, 1.5, True, "5", None)),
        ("most_bytes", -1),
        ("breaker_failures", float("nan")), ("before_send", "no function"), ("sink", object()), ("store", object()),
        ("hooks", object()), ("hooks", [object()]), ("instance", 7), ("proxy", 7), ("stream_url", b"http://x"),
    ],
)  # fmt: skip
def test_setting__of_another_kind__is_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: given})


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(0, 0), (-1, 0), (2.5, 2.5), (float("inf"), 1e9), (10**400, 1e9), (float("nan"), 7), ("5", 7), (None, 7), ([], 7)],
    ids=["none", "negative", "some", "infinite", "huge", "nan", "text", "unsaid", "list"],
)
def test_wait__of_any_length__is_one_that_a_clock_takes(given: Any, seconds: float) -> None:
    client = offline()
    assert client._patience(given, 7.0) == seconds

    assert (client.flush(given), client.ready(given), client.wait_until_ready(given)) == (True, "bootstrap", True)


def test_listeners_and_hooks__that_nobody_can_call__are_refused_at_once() -> None:
    client: Any = offline()
    for take in (client.on_change, client.on_configuration, client.on_connection, client.add_hook):
        with pytest.raises(TypeError, match="NoneType"):
            take(None)


@pytest.mark.parametrize("key", ["", " ", None])
def test_server_key__empty__is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="server key"):
        FlagShip(key, "http://127.0.0.1:9")


def test_repr__of_whatever_holds_a_secret__hides_it() -> None:
    options = Options(signing_secret="s3cret", hash_key="s3cret", proxy="http://me:s3cret@proxy:3128")
    client = offline(signing_secret="s3cret", hash_key="s3cret", proxy="http://me:s3cret@proxy:3128")
    shown = [options, client, client.options, client._sender, client._queue, client._synchroniser, client.status()]
    shown += [Endpoint.of("https://flags.example.com", options.proxy), Write(None, b"s3cret", 1)]

    assert "s3cret" not in repr(shown)
    with pytest.raises(ValueError, match="address") as caught:
        FlagShip("fs_server_x", "ftp://me:s3cret@flags.example.com")
    assert "s3cret" not in str(caught.value)
