"""Same user, same flag, same answer: 5,000 generated (flag, context) pairs over HTTP and from the engine alone."""

import random
from io import BytesIO
from typing import Any

import orjson
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from openflagship.engine import Context, Environment, deal

from analytics.buffer import EXPOSURES
from flags.runtime import RUNTIME
from flagship.fastlane import FastLane

FLAGS, CONTEXTS = 100, 50
VALUES: dict[str, list[Any]] = {
    "country": ["DE", "US", "FR", None],
    "plan": ["free", "pro", "team", 7],
    "age": [17, 18, 42.5, "42"],
    "version": ["1.2.3", "v2", "2.0.0-rc.1", "new"],
    "since": ["2026-01-01T00:00:00Z", "2026-06-01T12:00:00+02:00", 1_780_000_000_000, "yesterday"],
    "tags": [["a", "b"], [], ["c"], "a"],
    "deviceId": ["d-1", "", 99, None],
}
OPERATORS: list[tuple[str, str, list[Any]]] = [
    ("country", "equals", ["DE", "US"]),
    ("country", "not_in", [["DE"], []]),
    ("plan", "in", [["pro", "team"], [7]]),
    ("plan", "starts_with", ["p", ["t", "f"]]),
    ("age", "greater_or_equal", [18, 42.5]),
    ("age", "less_than", [18]),
    ("version", "semver_greater", ["1.0", "2.0.0-beta"]),
    ("since", "before", ["2026-03-01T00:00:00Z"]),
    ("tags", "contains", ["a"]),
    ("tags", "not_contains", ["c"]),
    ("country", "matches", ["^(DE|FR)$"]),
    ("plan", "exists", [None]),
    ("deviceId", "not_exists", [None]),
]


def _condition(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.15:
        return {"operator": chance.choice(["in_segment", "not_in_segment"]), "value": ["staff", "unknown"]}
    attribute, operator, values = chance.choice(OPERATORS)
    value = chance.choice(values)
    return {"attribute": attribute, "operator": operator, **({} if value is None else {"value": value})}


def _flag(chance: random.Random, number: int) -> dict[str, Any]:
    variants = ["a", "b", "c"]
    rules = []
    for priority in range(chance.randrange(4)):
        outcome: dict[str, Any] = (
            {"variant": chance.choice(variants)}
            if chance.random() < 0.5
            else {"allocation": deal([("a", chance.randrange(5000)), ("b", chance.randrange(5000))])}
        )
        conditions = [_condition(chance) for _ in range(chance.randrange(1, 3))]
        rules.append({"id": f"r{priority}", "priority": priority, "conditions": conditions, **outcome})
    experiment = {
        "id": f"experiment-{number}",
        "status": "running",
        "layer": {"key": None, "salt": f"layer:{number}"},
        "ranges": [[0, chance.randrange(1, 10_001)]],
        "controlVariant": "a",
        "audience": None if chance.random() < 0.5 else {"all": [_condition(chance)]},
    }
    return {
        "key": f"flag-{number}",
        "type": "json",
        "variants": [{"key": key, "value": {"variant": key, "share": 0.5}} for key in variants],
        "enabled": chance.random() < 0.9,
        "killSwitchVariant": "b" if chance.random() < 0.05 else None,
        "bucketBy": "deviceId" if chance.random() < 0.2 else "userId",
        "prerequisites": [{"flagKey": f"flag-{number - 1}", "variants": ["a", "b"]}]
        if number and chance.random() < 0.2
        else [],
        "targets": [{"variant": "c", "userIds": ["user-3"]}] if chance.random() < 0.2 else [],
        "rules": rules,
        "experiment": experiment if chance.random() < 0.3 else None,
        "allocation": deal([("b", chance.randrange(6000)), ("c", chance.randrange(4000))]),
    }


def _context(chance: random.Random, number: int) -> dict[str, Any]:
    attributes = {name: chance.choice(values) for name, values in VALUES.items() if chance.random() < 0.7}
    return {"userId": None if number == 0 else f"user-{number}", "attributes": attributes}


@pytest.fixture
def world(environment, key, monkeypatch):
    monkeypatch.setattr(EXPOSURES, "add", lambda *_args: None)
    chance = random.Random(20_261_120)
    document = {
        "contract": 1,
        "environment": {"organization": "acme", "project": "web", "key": "production", "salt": "s"},
        "version": 7,
        "flags": {flag["key"]: flag for flag in (_flag(chance, number) for number in range(FLAGS))},
        "segments": {"staff": {"key": "staff", "included": ["user-1", "user-2"], "conditions": None}},
    }
    secret = key().secret
    RUNTIME.environments = {environment.pk: Environment.from_document(document)}
    contexts = [_context(chance, number) for number in range(CONTEXTS)]
    yield Environment.from_document(document), contexts, secret
    RUNTIME.environments = {}


def _post(application: Any, path: str, body: dict[str, Any], secret: str) -> dict[str, Any]:
    content = orjson.dumps(body)
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(content),
        "wsgi.url_scheme": "http",
    }
    return orjson.loads(b"".join(application(environ, lambda _status, _headers: None)))


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"evaluationId", "flagKey", "userId"}}


def test_every_route__five_thousand_pairs__answers_what_the_engine_answers(world):
    engine, contexts, secret = world
    lane, client = FastLane(WSGIHandler()), Client()
    pairs, reasons = 0, set()
    for context in contexts:
        expected = {
            key: orjson.loads(
                orjson.dumps(engine.evaluate(key, Context(context["userId"], context["attributes"])).to_dict())
            )
            for key in engine.flags
        }
        for key, wanted in expected.items():
            seen = _post(lane, "/api/flags/evaluate", {"flagKey": key, **context}, secret)
            assert _plain(seen) == wanted, (key, context)
            pairs += 1
            reasons.add(wanted["reason"])
        together = client.post(
            "/api/flags/evaluate/all",
            orjson.dumps(context),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        ).json()["flags"]
        assert {key: _plain(answer) for key, answer in together.items()} == expected
        ofrep = client.post(
            "/ofrep/v1/evaluate/flags",
            orjson.dumps({"context": {"targetingKey": context["userId"], **context["attributes"]}}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        ).json()["flags"]
        assert {flag["key"]: (flag["variant"], flag["value"]) for flag in ofrep} == {
            key: (wanted["variant"], wanted["value"]) for key, wanted in expected.items()
        }

    assert pairs == FLAGS * CONTEXTS == 5000
    # A generator that never reaches a step would prove nothing about it.
    assert reasons == {
        "KILL_SWITCH",
        "DISABLED",
        "PREREQUISITE_FAILED",
        "TARGET_MATCH",
        "RULE_MATCH",
        "EXPERIMENT",
        "ROLLOUT",
        "DEFAULT",
    }
