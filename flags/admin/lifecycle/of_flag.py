"""The part of a flag's page about its life: stage, reasons, owner, kind, expected end and links."""

from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.lifecycle.evidence import lifecycles
from flags.models import FlagConfig


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    shown: dict[str, Any] = {"flag": config.flag}
    try:
        (shown["known"],) = lifecycles(config.environment.project, [config.flag])
    except OperationalError:
        shown["is_away"] = True
    return render(request, "flags/lifecycle.html", shown)
