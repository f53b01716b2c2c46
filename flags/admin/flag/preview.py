"""Beside the flag's form: the configuration in words, and whom saving it would move."""

import json
import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.admin.flag.changes import base_of, changes_in
from flags.admin.flag.draft_preview import Preview, preview_change, preview_new
from flags.admin.flag.form import FlagForm
from flags.admin.flag.sentences import describe_sent
from flags.models import FlagConfig
from tenancy.models import Environment

_RULE_AT = re.compile(r"rules\[(\d+)\]")


def of_new(request: HttpRequest, environment: Environment) -> HttpResponse:
    return _fragment(request, environment, None)


def of_change(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    return _fragment(request, config.environment, config)


def _fragment(request: HttpRequest, environment: Environment, config: FlagConfig | None) -> HttpResponse:
    form = FlagForm.sent(request.POST)
    if config is not None:
        form.key, form.type = config.flag.key, config.flag.type
    payload, problems = form.payload()
    foreseen = Preview(problems=problems)
    if not problems:
        if config is None:
            foreseen = preview_new(environment, {**payload, "key": form.key, "type": form.type})
        else:
            foreseen = preview_change(environment, config.flag.key, changes_in(payload, base_of(request.POST, {})))
    # A rule that cannot be read yet says nothing, rather than what its readable half would do.
    unread = {int(found[1]) for item in problems if (found := _RULE_AT.match(item.attr or ""))}
    said = ["" if index in unread else describe_sent(rule) for index, rule in enumerate(payload["rules"])]
    return render(request, "flags/preview.html", {"preview": foreseen, "config": config, "rules": json.dumps(said)})
