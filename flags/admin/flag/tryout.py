"""Try it: what would somebody get, now or back then, and by which steps; also for a list of users. Logs nothing."""

import json
from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from openflagship.engine import CompiledEnvironment, Context

from flags.admin.flag.form import sent_document
from flags.admin.flag.trace import readable
from flags.api.serializers import FlagSerializer
from flags.evaluation.compiled import before_and_after, compiled_at
from flags.evaluation.explanation import explain_evaluation
from flags.models import FlagConfig
from flags.versions.history import version_at
from tenancy.console_kit.instants import TypedInstant
from tenancy.console_kit.pages import console_page
from tenancy.errors import Invalid, NotFound, ServiceError

_MOST_USERS = 500


def page(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """The page of its own: one user with the trace, or many users in a table; the form's fields are in the address."""
    sent = request.GET
    users = _listed(sent.get("users", ""))
    at = TypedInstant.sent(sent, "at")
    shown: dict[str, Any] = {}
    try:
        if users:
            version = _version(config, at, sent.get("configVersion", ""))
            compiled = compiled_at(config.environment, version, [config.flag.key])
            shown |= _many(config, compiled, users, sent.get("attributes", ""))
        elif "user" in sent:
            body = _body(config, sent.get("user", ""), sent.get("attributes", ""))
            body |= _when(at, sent.get("configVersion", ""))
            shown["answer"] = explain_evaluation(config.environment, body)
            shown["lines"] = readable(shown["answer"]["trace"])
    except ServiceError as error:
        shown["at_errors"] = [problem.detail for problem in error.problems if problem.attr == "at"]
        shown["problems"] = [problem.detail for problem in error.problems if problem.attr != "at"]
    return console_page(
        request,
        "flags/try.html",
        title=f"Try {config.flag.key} in {config.environment}",
        config=config,
        sent=sent,
        at=at,
        **shown,
    )


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """The answer for the form as it stands, saved or not."""
    shown: dict[str, Any] = {}
    try:
        changed = sent_document(request, config).changes(FlagSerializer)
        attributes = request.POST.get("try-attributes", "")
        users = _listed(request.POST.get("try-users", ""))
        shown["is_draft"] = bool(changed)
        if users:
            compiled = before_and_after(config.environment, config.flag.key, changed)[1]
            shown |= _many(config, compiled, users, attributes)
        else:
            body = _body(config, request.POST.get("try-user", ""), attributes)
            if changed:
                body["config"] = changed
            shown["answer"] = explain_evaluation(config.environment, body)
            shown["lines"] = readable(shown["answer"]["trace"])
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "flags/answer.html", {"config": config, **shown})


def _body(config: FlagConfig, user_id: str, attributes: str) -> dict[str, Any]:
    return {
        "flagKey": config.flag.key,
        "userId": user_id.strip() or None,
        "attributes": read_attributes(attributes),
    }


def _listed(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _many(config: FlagConfig, compiled: CompiledEnvironment, users: list[str], attributes: str) -> dict[str, Any]:
    """Answers for at most 500 users, how many of them get each variant, and how many users are left out."""
    key = config.flag.key
    if key not in compiled.flags:
        raise NotFound(f"There is no flag {key!r} at version {compiled.version}.", attr="configVersion")
    shared = read_attributes(attributes)
    answers = [(user, compiled.evaluate(key, Context(user, shared), None)) for user in users[:_MOST_USERS]]
    return {
        "answers": [{"user": user, "answer": answer} for user, answer in answers],
        "totals": Counter(answer.variant for _, answer in answers).most_common(),
        "left_out": max(0, len(users) - _MOST_USERS),
    }


def _version(config: FlagConfig, at: TypedInstant, version: str) -> int:
    when = _when(at, version)
    current = config.environment.config_version
    if "at" in when:
        return version_at(config.environment, when["at"])
    if when.get("configVersion", current) > current:
        raise Invalid(f"The environment has the versions 0 to {current}.", attr="configVersion", code="unknown_version")
    return int(when.get("configVersion", current))


def _when(at: TypedInstant, version: str) -> dict[str, Any]:
    if version:
        if not (version.isascii() and version.isdigit() and len(version) < 19):
            raise Invalid("A configuration version is a whole number.", attr="configVersion")
        return {"configVersion": int(version)}
    moment = at.read("at")
    return {"at": moment} if moment else {}


def read_attributes(text: str) -> dict[str, Any]:
    """Read a JSON object, or lines of `name=value` in which numbers, true and false are what they look like.

    Raises Invalid, naming the line.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise Invalid(f"The attributes are no JSON object: {error}.", attr="attributes") from error
        return dict(found)
    attributes: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise Invalid(f"Write {line.strip()!r} as name=value, for example country=US.", attr="attributes")
        attributes[name.strip()] = _value(value.strip())
    return attributes


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
