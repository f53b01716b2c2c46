"""Every way to have a flag evaluated, each asked for all flags of some contexts, in one process without a network."""

import asyncio
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import orjson
from django.core.handlers.wsgi import WSGIHandler
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openflagship import AsyncFlagShip, FlagShip
from openflagship.edge import Edge, EdgeEnvironment, EdgeSettings
from openflagship.engine import CompiledEnvironment, Context
from openflagship.openfeature import FlagShipProvider

from flagship.serving.fast_lane import FastLane

Contexts = list[dict[str, Any]]
# Context's number and flag: what is answered, by the names of our API, or of OFREP.
Answers = dict[tuple[int, str], dict[str, Any]]
_IDS = frozenset({"evaluationId", "flagKey", "userId"})
_OFFLINE: dict[str, Any] = {"is_offline": True, "start_wait_seconds": 0}


def engine_answers(document: Mapping[str, Any], contexts: Contexts) -> tuple[Answers, Answers]:
    """What every other surface has to answer, in our form and in OFREP's."""
    engine = CompiledEnvironment.from_document(document)
    ours: Answers = {}
    theirs: Answers = {}
    for number, sent in enumerate(contexts):
        for key in engine.flags:
            answer = engine.evaluate(key, Context(sent["userId"], sent["attributes"]))
            ours[number, key] = orjson.loads(orjson.dumps(answer.to_dict()))
            reason = {"value": answer.value, "variant": answer.variant, "reason": answer.openfeature_reason}
            theirs[number, key] = orjson.loads(orjson.dumps(reason))
    return ours, theirs


def surfaces(document: dict[str, Any], contexts: Contexts, secret: str) -> Iterator[tuple[str, bool, Answers]]:
    """Name, whether it answers in OFREP's form, and its answers; the runtime must hold the document for `secret`."""
    routes = _routes(contexts, list(document["flags"]))
    for surface, application in (("fast lane", FastLane(_refuse)), ("DRF", WSGIHandler())):
        for route in routes:
            found = [_wsgi(application, secret, path, body) for _, _, path, body in route.requests]
            yield f"{surface}, {route.name}", route.is_ofrep, _collected(route, found)
    for route, found in zip(routes, asyncio.run(_edge(document, routes)), strict=True):
        yield f"edge, {route.name}", route.is_ofrep, _collected(route, found)
    keys = list(document["flags"])
    with FlagShip("", "http://127.0.0.1:1", bootstrap=document, **_OFFLINE) as client:
        yield "sync SDK", False, _client(client, contexts, keys)
        yield "OpenFeature provider", True, _openfeature(client, contexts, keys)
    yield "async SDK", False, asyncio.run(_async_client(document, contexts, keys))


class _Route(NamedTuple):
    """Requests are (context's number, flag or None for all, path, body)."""

    name: str
    is_ofrep: bool
    requests: list[tuple[int, str | None, str, bytes]]


def _routes(contexts: Contexts, keys: list[str]) -> list[_Route]:
    every, ofrep = "/api/flags/evaluate/all", "/ofrep/v1/evaluate/flags"
    routes = [_Route("one flag", False, []), _Route("all flags", False, [])]
    routes += [_Route("OFREP", True, []), _Route("OFREP bulk", True, [])]
    for number, sent in enumerate(contexts):
        own = orjson.dumps(sent)
        remote = orjson.dumps({"context": {"targetingKey": sent["userId"], **sent["attributes"]}})
        for key in keys:
            one = orjson.dumps({"flagKey": key, **sent})
            routes[0].requests.append((number, key, "/api/flags/evaluate", one))
            routes[2].requests.append((number, key, f"{ofrep}/{key}", remote))
        routes[1].requests.append((number, None, every, own))
        routes[3].requests.append((number, None, ofrep, remote))
    return routes


def _collected(route: _Route, found: list[dict[str, Any]]) -> Answers:
    answers: Answers = {}
    for (number, key, _, _), answer in zip(route.requests, found, strict=True):
        if key is not None:
            answers[number, key] = _plain(answer, route.is_ofrep)
        elif route.is_ofrep:
            answers |= {(number, one["key"]): _plain(one, is_ofrep=True) for one in answer["flags"]}
        else:
            answers |= {(number, name): _plain(one, is_ofrep=False) for name, one in answer["flags"].items()}
    return answers


def _plain(answer: dict[str, Any], is_ofrep: bool) -> dict[str, Any]:
    if is_ofrep:
        return {name: answer[name] for name in ("value", "variant", "reason")}
    return {name: value for name, value in answer.items() if name not in _IDS}


def _refuse(_environ: dict[str, Any], _start_response: Any) -> list[bytes]:
    raise AssertionError("The lane should have answered this by itself.")


def _wsgi(application: Any, secret: str, path: str, body: bytes) -> dict[str, Any]:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": "http",
    }
    answer: dict[str, Any] = orjson.loads(b"".join(application(environ, lambda _status, _headers: None)))
    return answer


async def _edge(document: dict[str, Any], routes: list[_Route]) -> list[list[dict[str, Any]]]:
    environments = (EdgeEnvironment(server_key="fs_server_parity"),)
    options = {"bootstrap": document, **_OFFLINE}
    edge = Edge(EdgeSettings(url="http://127.0.0.1:1", environments=environments, options=options))

    async def ask(path: str, body: bytes) -> dict[str, Any]:
        parts = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            parts.append(message.get("body", b""))

        headers = [(b"authorization", b"Bearer fs_server_parity")]
        await edge({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
        answer: dict[str, Any] = orjson.loads(b"".join(parts))
        return answer

    await edge.start()
    found = [[await ask(path, body) for _, _, path, body in route.requests] for route in routes]
    await edge.stop()
    return found


def _client(client: FlagShip | AsyncFlagShip, contexts: Contexts, keys: list[str]) -> Answers:
    answers: Answers = {}
    for number, sent in enumerate(contexts):
        user = Context(sent["userId"], sent["attributes"])
        every = client.all_flags(user)
        for key in keys:
            answer = client.variation_detail(key, user)
            if every[key] != answer.value:
                raise AssertionError(f"all_flags and variation_detail differ on {key} for {sent}")
            answers[number, key] = orjson.loads(orjson.dumps(answer.to_dict()))
    return answers


async def _async_client(document: dict[str, Any], contexts: Contexts, keys: list[str]) -> Answers:
    async with AsyncFlagShip("", "http://127.0.0.1:1", bootstrap=document, **_OFFLINE) as client:
        return _client(client, contexts, keys)


def _openfeature(client: FlagShip, contexts: Contexts, keys: list[str]) -> Answers:
    api.set_provider_and_wait(FlagShipProvider(client), "parity")
    asked = api.get_client("parity")
    answers: Answers = {}
    for number, sent in enumerate(contexts):
        user = EvaluationContext(sent["userId"], sent["attributes"])
        for key in keys:
            details = asked.get_object_details(key, {}, user)
            found = {"value": details.value, "variant": details.variant, "reason": details.reason}
            answers[number, key] = orjson.loads(orjson.dumps(found))
    api.clear_providers()
    return answers
