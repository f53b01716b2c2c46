"""The preview beside a flag's form: the configuration in words, and the users whom saving would move."""

import json
import re
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.admin.flag.draft_preview import Preview, preview_change, preview_new
from flags.admin.flag.form import rules_of, sent_document
from flags.admin.flag.sentences import describe_sent
from flags.admin.panels import preview_panels_for
from flags.api.serializers import FlagSerializer
from flags.models import FlagConfig
from tenancy.console_kit.documents import DocumentEdit
from tenancy.errors import ServiceError
from tenancy.models import Environment

_RULE_AT = re.compile(r"rules\[(\d+)\]")


def of_new(request: HttpRequest, environment: Environment) -> HttpResponse:
    editing = DocumentEdit.sent(request)
    try:
        payload = editing.checked(FlagSerializer)
    except ServiceError as error:
        return _fragment(request, editing, Preview(problems=error.problems))
    return _fragment(request, editing, preview_new(environment, payload))


def of_change(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    editing = sent_document(request, config)
    try:
        changed = editing.changes(FlagSerializer)
    except ServiceError as error:
        return _fragment(request, editing, Preview(problems=error.problems), config)
    foreseen = preview_change(config.environment, config.flag.key, changed)
    beside = [] if foreseen.problems else preview_panels_for(request, config, changed)
    return _fragment(request, editing, foreseen, config, beside)


def _fragment(
    request: HttpRequest,
    editing: DocumentEdit,
    foreseen: Preview,
    config: FlagConfig | None = None,
    beside: Sequence[dict[str, Any]] = (),
) -> HttpResponse:
    # A refused rule gets no sentence. The sentence of its valid half would mislead.
    refused = {int(found[1]) for item in foreseen.problems if (found := _RULE_AT.match(item.attr or ""))}
    said = ["" if index in refused else describe_sent(rule) for index, rule in enumerate(rules_of(editing.document))]
    shown = {"preview": foreseen, "config": config, "rules": json.dumps(said), "beside": beside}
    return render(request, "flags/preview.html", shown)
