"""Who asks for a flag, and how often by the hour, with a unit or without; and for keys that no flag has."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from analytics.usage import reading
from analytics.usage.retention import UNKNOWN_KEPT_DAYS
from flags.models import FlagConfig
from flags.selectors import unknown_flags
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page
from tenancy.models import Environment

_HOURS = 24
_MOST_SOURCES = 5
_MOST_UNKNOWN = 200
_NO_VARIANT = "no variant"


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    uses = reading.uses_by_source(config.environment_id, config.flag.key)
    return render(
        request,
        "flags/usage.html",
        {"uses": uses[:_MOST_SOURCES], "more": len(uses[_MOST_SOURCES:]), "chart": usage_chart(config)},
    )


def unknown(request: HttpRequest, environment: Environment) -> HttpResponse:
    """The keys that services ask for and that no flag has: typing errors, other environments' keys, deleted flags."""
    found = unknown_flags(environment)
    return console_page(
        request,
        "flags/unknown.html",
        title="Flags asked for that do not exist",
        environments=console_context(request).environments,
        current_environment=environment,
        rows=found[:_MOST_UNKNOWN],
        more=max(0, found.count() - _MOST_UNKNOWN),
        kept_days=UNKNOWN_KEPT_DAYS,
    )


def usage_chart(config: FlagConfig) -> dict[str, Any] | None:
    """Return bars per hour (UTC) and variant; None without evaluations in that time."""
    this_hour = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=back) for back in reversed(range(_HOURS))]
    found: defaultdict[str, defaultdict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    for row in reading.usage(config.environment_id, config.flag.key, hours[0], this_hour + timedelta(hours=1)):
        found[row.variant or _NO_VARIANT][row.since] += row.evaluations
    if not found:
        return None
    names = [variant["key"] for variant in config.flag.variants if variant["key"] in found]
    names += sorted(found.keys() - set(names))
    labels = [f"{hour:%H}:00" for hour in hours]
    totals = {name: sum(found[name].values()) for name in names}
    return {
        "title": "Evaluations per hour",
        "description": f"Over {_HOURS} hours: " + ", ".join(f"{name} {totals[name]:,}" for name in names) + ".",
        "labels": labels,
        "series": [{"name": name, "values": [found[name][hour] for hour in hours]} for name in names],
        "table": {
            "head": ["Hour (UTC)", *names],
            "rows": [
                [label, *(f"{found[name][hour]:,}" for name in names)]
                for label, hour in zip(labels, hours, strict=True)
            ],
        },
    }
