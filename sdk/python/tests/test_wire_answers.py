"""Answers over HTTP without a server: what is written once, what is refused, and the ids of evaluations."""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import UUID

import pytest
from documents import experiment
from openflagship.engine import Answer, CompiledEnvironment
from openflagship.ids import uuid7_text
from openflagship.wire.answers import Responder, Responders
from openflagship.wire.bodies import InvalidError, OfrepError
from sdk_fixtures import treatment


class Told:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.reasons: list[str] = []
        self.exposures: list[tuple[Any, ...]] = []

    def count(self, key: str, answer: Answer) -> None:
        self.counted.append(key)
        self.reasons.append(answer.reason)

    def expose(self, *said: Any) -> None:
        self.exposures.append(said)


def _environment(**flags: Any) -> CompiledEnvironment:
    meta = {"organization": "acme", "project": "web", "key": "production", "salt": ""}
    return CompiledEnvironment.from_document(
        {"contract": 1, "environment": meta, "version": 3, "flags": flags, "segments": {}}
    )


@pytest.fixture
def responder() -> Responder:
    large = {"key": "large", "variants": [{"key": "treatment", "value": 2**70}, {"key": "control", "value": 0}]}
    device = treatment("device", bucketBy="deviceId", allocation=[[0, 10_000, "treatment"]])
    return Responder(_environment(asked=treatment(), large=treatment(type="number", **large), device=device, broken={}))


def test_evaluate__the_same_answer_for_two_users__differs_in_user_and_id_alone(responder: Responder) -> None:
    told = Told()
    status, first, first_id = responder.evaluate({"flagKey": "asked", "userId": 'ü"1'}, told, 50)
    _, second, _ = responder.evaluate({"flagKey": "asked", "userId": "2"}, told, 50)
    one, two = json.loads(first), json.loads(second)

    assert (status, one["userId"], one["evaluationId"]) == (200, 'ü"1', first_id)
    assert one | {"userId": "2", "evaluationId": two["evaluationId"]} == two
    assert told.exposures[0][:3] == (first_id, "asked", 'ü"1')
    assert len(told.reasons) == len(told.exposures) == 2


def test_evaluate__bucket_by_an_attribute__exposes_that_unit_or_nobody(responder: Responder) -> None:
    told = Told()
    responder.evaluate({"flagKey": "device", "userId": "u", "attributes": {"deviceId": 42}}, told)
    responder.evaluate({"flagKey": "device", "userId": "u"}, told)

    assert [said[2] for said in told.exposures] == ["42"]


def test_ofrep__what_a_page_needs_to_record_it__stands_in_the_metadata() -> None:
    own = {"bucketBy": "x", "exposures": "x", "owner": "shop"}
    listed = treatment("listed", bucketBy=["deviceId", "userId"], exposures="experiments", metadata=own)
    responder = Responder(_environment(plain=treatment("plain", metadata=own), listed=listed))
    flags = json.loads(responder.ofrep_all({"context": {"targetingKey": "u"}}).send(Told()))["flags"]
    found = {flag["key"]: {name: flag["metadata"].get(name) for name in own} for flag in flags}

    assert found == {
        "plain": {"bucketBy": None, "exposures": None, "owner": "shop"},
        "listed": {"bucketBy": "deviceId,userId", "exposures": "experiments", "owner": "shop"},
    }


def test_evaluate__integer_past_64_bits__is_written_whole(responder: Responder) -> None:
    assert json.loads(responder.evaluate({"flagKey": "large", "userId": "u"}, Told())[1])["value"] == 2**70
    assert json.loads(responder.ofrep("large", {"context": {"targetingKey": "u"}}, Told())[1])["value"] == 2**70


def test_all__flag_that_cannot_be_read__is_an_error_among_answers(responder: Responder) -> None:
    told = Told()
    answer = json.loads(responder.evaluate_all({"userId": "u"}, told))
    bulk = responder.ofrep_all({"context": {"targetingKey": "u"}})
    found = {flag["key"]: flag.get("errorCode") for flag in json.loads(bulk.send(told))["flags"]}

    assert answer["flags"]["broken"]["errorCode"] == found["broken"] == "PARSE_ERROR"
    assert list(found) == ["asked", "broken", "device", "large"]
    assert "broken" not in {said[1] for said in told.exposures}


@pytest.mark.parametrize(
    ("exposures", "logged"), [("none", []), ("experiments", ["tried"]), ("all", ["plain", "tried"])]
)
def test_bulk__logs_the_exposures_asked_for_as_prefetched(exposures: str, logged: list[str]) -> None:
    tried = treatment("tried", experiment=experiment())
    responder, told = Responder(_environment(plain=treatment("plain"), tried=tried)), Told()
    answer = json.loads(responder.evaluate_all({"userId": "u"}, told, exposures=exposures))
    ids = {key: one["evaluationId"] for key, one in answer["flags"].items()}
    assert [said[:2] for said in told.exposures] == [(ids[key], key) for key in logged]
    assert all(said[6] is True for said in told.exposures)

    told = Told()
    bulk = responder.ofrep_all({"context": {"targetingKey": "u"}})
    flags = json.loads(bulk.send(told, exposures=exposures))["flags"]
    ids = {one["key"]: one["metadata"]["evaluationId"] for one in flags}
    assert [said[:2] for said in told.exposures] == [(ids[key], key) for key in logged]
    assert all(said[6] is True for said in told.exposures)
    assert len(told.reasons) == 2


def test_bulk__etag__follows_the_result_and_not_the_version(responder: Responder) -> None:
    sent = {"context": {"targetingKey": "u"}}
    first = responder.ofrep_all(dict(sent))
    later = Responder(responder.environment.replace(9)).ofrep_all({"context": {"targetingKey": "u"}})
    other = Responder(responder.environment.replace(9, flags={"asked": treatment(enabled=False)})).ofrep_all(
        {"context": {"targetingKey": "u"}}
    )

    assert first.etag == later.etag != other.etag
    assert first.is_known(f'"x", W/{first.etag}')
    assert first.is_known("*")
    assert not first.is_known(other.etag)


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"flagKey": "asked", "userId": "x" * 1025}, "too_long"),
        ({"flagKey": "asked", "attributes": {str(n): n for n in range(101)}}, "too_many"),
        ({"flagKey": "asked", "surprise": 1}, "unknown_field"),
        ({"flagKey": 1}, "required"),
        ([], "invalid_type"),
    ],
)
def test_evaluate__body_beyond_the_limits__is_refused_whatever_its_size(
    responder: Responder, sent: Any, code: str, size: int
) -> None:
    with pytest.raises(InvalidError) as caught:
        responder.evaluate(sent, Told(), size)

    assert caught.value.problems[0][1] == code


def test_attributes__past_32_kib__are_refused(responder: Responder) -> None:
    attributes = {"a": "x" * 40_000}
    with pytest.raises(InvalidError):
        responder.evaluate({"flagKey": "asked", "attributes": attributes}, Told(), 40_100)
    with pytest.raises(OfrepError):
        responder.ofrep("asked", {"context": attributes}, Told(), 40_100)


def test_responders__environment_changed__is_another_responder() -> None:
    responders, environment = Responders(), _environment(asked=treatment())
    responder = responders.of(1, environment)

    assert responders.of(1, environment) is responder
    assert responders.of(1, environment.with_staleness(True)) is not responder


def test_uuid7_text__many_at_one_moment__are_unlike_and_of_version_seven() -> None:
    made = [uuid7_text(1_790_000_000_000) for _ in range(20_000)]

    assert len(set(made)) == len(made)
    for text in made[:5000:250]:
        assert (UUID(text).version, str(UUID(text)), UUID(text).int >> 80) == (7, text, 1_790_000_000_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork on this system")
def test_uuid7_text__after_a_fork__child_and_parent_make_other_ids() -> None:
    uuid7_text(1)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, uuid7_text(1).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 36).decode()
    os.close(reader)
    os.close(writer)

    # The counter would be the same; what follows it must not be.
    assert theirs[19:] != uuid7_text(1)[19:]
