"""What an unsaved change would do to the people who got the flag in the last 7 days, counted one by one."""

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flags.admin.flag.changes import base_of, changes_in
from flags.admin.flag.form import FlagForm
from flags.evaluation.impact import impact_of
from flags.models import FlagConfig
from tenancy.errors import ServiceError


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    """Asked for once the form has rested: it takes up to a second where many users were seen."""
    form = FlagForm.sent(request.POST)
    form.key, form.type = config.flag.key, config.flag.type
    payload, problems = form.payload()
    found, is_away = None, False
    if not problems:
        try:
            changed = changes_in(payload, base_of(request.POST, {}))
            found = impact_of(config.environment, config.flag.key, changed) if changed else None
        except ServiceError:
            found = None  # what is wrong stands in the preview above
        except OperationalError:
            is_away = True
    return render(request, "flags/affected_users.html", {"found": found, "is_away": is_away, "config": config})
