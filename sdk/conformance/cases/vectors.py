"""The contract's known answers through the whole of an SDK: over the stream, into the configuration, and out."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openflagship.engine import CompiledEnvironment, Context

from sdk.conformance.cases.generated import REASONS, TYPES, context, environment
from sdk.conformance.documents import asking, flag
from sdk.conformance.endpoints import Endpoints
from sdk.conformance.registry import Run, case, equal
from sdk.conformance.service import Client

_CONTRACT = Path(__file__).parents[2] / "contract"
# What the files say of an answer. Its value, its version and whether it is stale are the Python engine's.
_ON_FILE = ("variant", "reason", "ruleId", "experiment", "errorCode", "detail")
_OF_ENGINE = ("value", "configVersion", "stale")
_PAIRS = int(os.environ.get("CONFORMANCE_PAIRS", "600"))
_CONTEXTS = 12
_NOTHING = {"contract": 1, "environment": {"salt": ""}, "version": 1, "flags": {}, "segments": {}}


def _read(name: str) -> Any:
    return json.loads((_CONTRACT / name).read_text("utf-8"))


def _question(flag_key: str, user_id: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"flag": flag_key, "userId": user_id, "attributes": attributes, "default": "the caller's"}


def _by(engine: CompiledEnvironment, question: dict[str, Any]) -> dict[str, Any]:
    """The Python engine's answer."""
    context = Context(question["userId"], question["attributes"])
    return dict(engine.evaluate(question["flag"], context, question["default"]).to_dict())


def _compare(client: Client, asked: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Every field of every answer is as expected. An error's detail is free text."""
    answers = client.answers([question for question, _ in asked])
    for (question, expected), answer in zip(asked, answers, strict=True):
        for name in (*_ON_FILE, *_OF_ENGINE):
            if name != "detail" or expected.get("errorCode") is None:
                # As JSON: true is not 1.
                found, wanted = _json_text(answer.get(name)), _json_text(expected.get(name))
                equal(found, wanted, f"{name} of {question}")


def _compare_with(engine: CompiledEnvironment, client: Client, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare every field with the engine's; return what was expected."""
    expected = [_by(engine, question) for question in questions]
    _compare(client, list(zip(questions, expected, strict=True)))
    return expected


def _engine_of(server: Endpoints) -> CompiledEnvironment:
    return CompiledEnvironment.from_document(server.document())


def _json_text(value: Any) -> str:
    """One text for what is one value in JSON: 1.0 is 1, and true is not."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{_json_text(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json_text, value)) + "]"
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _told(run: Run, server: Endpoints, client: Client, document: dict[str, Any]) -> CompiledEnvironment:
    """The client has this configuration. The Python engine of it is returned."""
    server.replace(document)
    run.until(lambda: client.version == server.version, "the configuration is applied")
    return CompiledEnvironment.from_document({**document, "version": server.version})


@case("vectors", "bucketing: each unit is in its bucket, and in no other")
def bucketing(run: Run) -> None:
    vectors = _read("vectors/bucketing.json")
    flags = [
        flag(f"flag-{number}", salt=one["salt"], allocation=[[one["bucket"], one["bucket"] + 1, "treatment"]])
        for number, one in enumerate(vectors)
    ]
    server = run.server(*flags)
    client = run.following(server)
    questions = [_question(f"flag-{number}", one["unit"], {}) for number, one in enumerate(vectors)]
    _compare_with(_engine_of(server), client, questions)
    equal([answer["value"] for answer in client.answers(questions)], [True] * len(vectors))


@case("vectors", "operators: known outcomes of public suites")
def operators(run: Run) -> None:
    found = [one for one in _read("cases/operators.json")["cases"] if not one.get("refusedOnWriteIsFine")]
    server = run.server(*(asking(one["tree"], f"flag-{number}") for number, one in enumerate(found)))
    client = run.following(server)
    questions = [
        _question(f"flag-{number}", one["context"].get("userId"), one["context"]) for number, one in enumerate(found)
    ]
    wrong = [
        one["id"]
        for one, answer in zip(found, client.answers(questions), strict=True)
        if (answer["variant"] == "treatment") is not one["expected"]
    ]
    equal(wrong, [])
    _compare_with(_engine_of(server), client, questions)


@case("vectors", "whole documents: every answer on file")
def whole_documents(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    for one in _read("cases/evaluations.json")["cases"]:
        engine = _told(run, server, client, one["snapshot"])
        _compare(
            client,
            [
                _filed(engine, _question(key, evaluation["userId"], evaluation["attributes"]), answer)
                for evaluation in one["evaluations"]
                for key, answer in evaluation["answers"].items()
            ],
        )


def _filed(
    engine: CompiledEnvironment, question: dict[str, Any], on_file: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The question, and the answer as it is on file; what the files leave out is the engine's."""
    answer = _by(engine, question)
    return question, {**{name: answer[name] for name in _OF_ENGINE}, **on_file}


@case("vectors", "documents in steps: trees, units of several attributes, splits, what is not understood")
def in_steps(run: Run) -> None:
    server = run.server()
    client = run.following(server)
    for name in ("rule_trees", "bucket_by", "experiment_split", "not_understood"):
        for one in _read(f"cases/{name}.json")["cases"]:
            # No flag of the case before has a version that may be kept.
            engine = _told(run, server, client, _NOTHING)
            for step in one["steps"]:
                if "snapshot" in step:
                    engine = _told(run, server, client, step["snapshot"]).keeping(engine)
                else:
                    change = step["change"]
                    _step(run, server, client, change)
                    engine = engine.replace(server.version, change.get("flags"), change.get("segments"))
                _compare(
                    client,
                    [
                        _filed(
                            engine, _question(asked["flagKey"], asked["userId"], asked["attributes"]), asked["expected"]
                        )
                        for asked in step["asked"]
                    ],
                )


def _step(run: Run, server: Endpoints, client: Client, change: dict[str, Any]) -> None:
    for kind, documents in (("flag_updated", change.get("flags")), ("segment_updated", change.get("segments"))):
        for key, document in (documents or {}).items():
            server.change({"key": key, "deleted": True} if document is None else {"key": key, **document}, kind)
    run.until(lambda: client.version == server.version, "the change is applied")


def _flag_of(one: dict[str, Any]) -> dict[str, Any]:
    """A flag of the OpenFeature specification's file as a snapshot has it."""
    kind = {"integer": "number", "float": "number", "object": "json"}.get(one["type"], one["type"])
    variants = [{"key": key, "value": value} for key, value in one["variants"].items()]
    rules = [{"id": f"rule-{number}", **rule} for number, rule in enumerate(one.get("rules", ()))]
    off = one.get("offVariant", one["defaultVariant"])
    return {"bucketBy": "userId", **one, "type": kind, "variants": variants, "rules": rules, "offVariant": off}


@case("vectors", "the OpenFeature specification's flags give its answers")
def openfeature(run: Run) -> None:
    server = run.server(*map(_flag_of, _read("cases/ofrep/flags.json")["flags"]))
    client = run.following(server)
    # What a typed getter refuses is its own; what depends on one client of OpenFeature is that client's.
    found = [
        one
        for one in _read("cases/ofrep/expectations.json")
        if "needs" not in one and "clients" not in one and one["expected"].get("errorCode") in {None, "FLAG_NOT_FOUND"}
    ]
    asked = [
        {
            "flag": one["flag"],
            # A context of OpenFeature has its user there; an SDK whose contexts are such reads it there, too.
            "userId": one["context"].get("targetingKey"),
            "attributes": one["context"],
            "default": one["default"],
        }
        for one in found
    ]
    for one, answer in zip(found, client.answers(asked), strict=True):
        for name in ("value", "variant", "errorCode"):
            if name in one["expected"]:
                equal(answer.get(name), one["expected"][name], f"{name} of {one['scenario']}, {one['flag']}")
    _compare_with(_engine_of(server), client, asked)


@case("vectors", "generated pairs of flags and contexts: the Python engine's answers")
def generated(run: Run) -> None:
    source = random.Random(20_260_101)
    server = run.server()
    client = run.following(server)
    left, reasons, types = _PAIRS, set(), set()
    while left > 0:
        document = environment(source)
        engine = _told(run, server, client, document)
        contexts = [context(source) for _ in range(_CONTEXTS)]
        asked = [_question(key, *given) for given in contexts for key in (*document["flags"], "unknown")]
        reasons |= {answer["reason"] for answer in _compare_with(engine, client, asked)}
        types |= {one["type"] for one in document["flags"].values()}
        left -= len(asked)
    # A step or a type that never occurs would not be compared.
    equal((reasons, types), ({*REASONS, "ERROR"}, TYPES))
