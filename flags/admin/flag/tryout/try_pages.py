"""Try it: what a user, or each of a list of users, gets now or got earlier, and by which steps. It logs nothing."""

from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from openflagship.engine import CompiledEnvironment, Context

from flags.admin.flag.form import sent_document
from flags.admin.flag.tryout.trace import readable
from flags.admin.flag.tryout.try_form import TryForm
from flags.api.serializers import FlagSerializer
from flags.evaluation.compiled import before_and_after, compiled_at
from flags.evaluation.explanation import explain_evaluation
from flags.models import FlagConfig
from flags.versions.history import version_at
from tenancy.console_kit.pages import console_page
from tenancy.errors import Invalid, NotFound, ServiceError

_MOST_USERS = 500


def page(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Show the page: one user with the trace, or many users in a table. The address holds the form's fields."""
    form = TryForm(request.GET if TryForm.base_fields.keys() & request.GET.keys() else None)
    shown: dict[str, Any] = {}
    if form.is_valid():
        try:
            if form.cleaned_data["users"]:
                compiled = compiled_at(config.environment, _version(config, form.when()), [config.flag.key])
                shown |= _many(config, compiled, form)
            elif "user" in form.data:
                shown |= _one(config, form, form.when())
        except ServiceError as error:
            shown["problems"] = [problem.detail for problem in error.problems]
    title = f"Try {config.flag.key} in {config.environment}"
    return console_page(request, "flags/try.html", title=title, config=config, form=form, **shown)


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Answer for the flag's form as it stands, saved or not."""
    form = TryForm(request.POST, prefix="try")
    shown: dict[str, Any] = {}
    try:
        changed = sent_document(request, config).changes(FlagSerializer)
        shown["is_draft"] = bool(changed)
        if not form.is_valid():
            shown["problems"] = [message for messages in form.errors.values() for message in messages]
        elif form.cleaned_data["users"]:
            compiled = before_and_after(config.environment, config.flag.key, changed)[1]
            shown |= _many(config, compiled, form)
        else:
            shown |= _one(config, form, {"config": changed} if changed else {})
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "flags/answer.html", {"config": config, **shown})


def _one(config: FlagConfig, form: TryForm, more: dict[str, Any]) -> dict[str, Any]:
    """Return one user's answer with its steps."""
    sent = form.cleaned_data
    body = {"flagKey": config.flag.key, "userId": sent["user"] or None, "attributes": sent["attributes"]}
    answer = explain_evaluation(config.environment, body | more)
    return {"answer": answer, "lines": readable(answer["trace"])}


def _many(config: FlagConfig, compiled: CompiledEnvironment, form: TryForm) -> dict[str, Any]:
    """Return answers for at most 500 users, how many get each variant, and how many users are left out."""
    key = config.flag.key
    if key not in compiled.flags:
        raise NotFound(f"There is no flag {key!r} at version {compiled.version}.", attr="configVersion")
    users, shared = form.cleaned_data["users"], form.cleaned_data["attributes"]
    answers = [(user, compiled.evaluate(key, Context(user, shared), None)) for user in users[:_MOST_USERS]]
    return {
        "answers": [{"user": user, "answer": answer} for user, answer in answers],
        "totals": Counter(answer.variant for _, answer in answers).most_common(),
        "left_out": max(0, len(users) - _MOST_USERS),
    }


def _version(config: FlagConfig, when: dict[str, Any]) -> int:
    current = config.environment.config_version
    if "at" in when:
        return version_at(config.environment, when["at"])
    if when.get("configVersion", current) > current:
        raise Invalid(f"The environment has the versions 0 to {current}.", attr="configVersion", code="unknown_version")
    return int(when.get("configVersion", current))
