"""What an unsaved change does to the users who got the flag in the last 7 days, counted one by one."""

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.admin.flag.form import sent_document
from flags.api.serializers import FlagSerializer
from flags.evaluation.impact import impact_of
from flags.models import FlagConfig
from tenancy.errors import ServiceError


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Count the affected users. The page asks once typing has stopped, because many users take up to a second."""
    found, is_away = None, False
    try:
        changed = sent_document(request, config).changes(FlagSerializer)
        found = impact_of(config.environment, config.flag.key, changed) if changed else None
    except ServiceError:
        found = None  # The preview above says what is wrong.
    except OperationalError:
        is_away = True
    return render(request, "flags/affected_users.html", {"found": found, "is_away": is_away, "config": config})
