"""The chart on a flag's page: exposures per day and variant, from the hourly counts."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from analytics import selectors as events
from flags.documents import flag_document
from flags.evaluation.deviations import deviations
from flags.models import FlagConfig
from tenancy.models import Exposures

_DAYS = 7


def fragment(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    try:
        shown: dict[str, Any] = {"chart": exposures_chart(config)}
    except OperationalError:
        shown = {"is_away": True}
    shown["deviation"] = deviations(config.environment_id).get(config.flag.key)
    shown["logs_experiments_alone"] = flag_document(config).get("exposures") == Exposures.EXPERIMENTS
    return render(request, "flags/exposures.html", shown)


def exposures_chart(config: FlagConfig) -> dict[str, Any] | None:
    """Return bars per day (UTC) and variant; None without exposures. Each day takes one query over hourly counts."""
    today = datetime.combine(timezone.now().date(), time(), UTC)
    days = [today - timedelta(days=back) for back in reversed(range(_DAYS))]
    # Counting from a moment up to now is cheap. A day's count is that from its start minus that from the next day's.
    since = [events.flag_exposures(config.environment_id, config.flag.key, day, None) for day in days]
    totals = [{key: row.exposures for key, row in found.items()} for found in since]
    variants = [variant["key"] for variant in config.flag.variants if variant["key"] in totals[0]]
    variants += sorted(totals[0].keys() - set(variants))
    if not variants:
        return None
    # An event that arrives between the two queries is in the later count alone, so no day gets less than 0.
    per_day = {
        key: [max(0, now.get(key, 0) - later.get(key, 0)) for now, later in zip(totals, [*totals[1:], {}], strict=True)]
        for key in variants
    }
    labels = [f"{day.day} {day:%b}" for day in days]
    users = {key: row.users for key, row in since[0].items()}
    return {
        "title": "Exposures per day",
        "description": f"Over {_DAYS} days: "
        + ", ".join(f"{key} {totals[0][key]:,} exposures" for key in variants)
        + ".",
        "labels": labels,
        "series": [{"name": f"{key} ({users[key]:,} users)", "values": per_day[key]} for key in variants],
        "table": {
            "head": ["Day (UTC)", *variants],
            "rows": [[label, *(f"{per_day[key][index]:,}" for key in variants)] for index, label in enumerate(labels)],
        },
    }
