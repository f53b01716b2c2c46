"""The results page: from the API's payload to what a person reads, and the same figures as CSV."""

import csv
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse

from experiments.admin import charts
from experiments.analysis import results_for
from experiments.models import Experiment
from experiments.selectors import stored_results
from tenancy.admin import ConsoleAdmin
from tenancy.errors import ServiceError

_TONES = {"ship": "good", "keep_running": "info", "stop": "warn", "do_not_trust": "bad"}
_ICONS = {"ship": "rocket_launch", "keep_running": "hourglass_top", "stop": "stop_circle", "do_not_trust": "report"}
METHODS = {
    Experiment.Method.ALWAYS_VALID: "Always valid: the sequential interval holds however often you look, so you may "
    "stop at any time. It is wider than an interval for a single look.",
    Experiment.Method.POCOCK: "Pocock: a planned number of users and one look a day; stops early more readily, at the "
    "price of a little power at the end.",
    Experiment.Method.OBRIEN_FLEMING: "O'Brien-Fleming: a planned number of users and one look a day; strict early on, "
    "nearly a single test at the end.",
    Experiment.Method.FIXED: "Fixed horizon: one look, at the planned end. Looking earlier and deciding by it makes "
    "false alarms likely.",
}
_MOST_STORED = 60


def page(
    model_admin: ConsoleAdmin, request: HttpRequest, experiment: Experiment, result_id: UUID | None = None
) -> HttpResponse:
    """Results as of now, of `?window=`, or as they were stored under a permanent address."""
    rows = stored_results(experiment)
    stored = rows.filter(pk=result_id).first() if result_id else None
    if result_id and stored is None:
        raise Http404("There is no such stored result.")
    problem = ""
    payload: dict[str, Any] | None = None
    try:
        payload = stored.payload if stored else results_for(experiment, request.GET.get("window") or None)
    except ServiceError as error:
        problem = error.problems[0].detail
    latest = list(rows[:_MOST_STORED])
    shown: dict[str, Any] = {}
    if payload is not None:
        history = [row.payload for row in reversed(latest) if row.phase.number == payload["window"]["phase"]]
        shown = _shown(payload, history)
    return model_admin.page(
        request,
        "experiments/results.html",
        title=f"Results of {experiment.name}",
        experiment=experiment,
        payload=payload,
        stored=stored,
        problem=problem,
        latest=latest[:20],
        method_words=METHODS[Experiment.Method(experiment.method)],
        window=request.GET.get("window", ""),
        **shown,
    )


def _shown(payload: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    action = payload["recommendation"]["action"]
    primary = [item for item in payload["comparisons"] if item["role"] == "primary"]
    over_time = [charts.lift_over_time(history, item["variant"], item["metric"]) for item in primary]
    return {
        "tone": _TONES.get(action, "info"),
        "icon": _ICONS.get(action, "info"),
        "primary": primary,
        "secondary": [item for item in payload["comparisons"] if item["role"] == "secondary"],
        "is_binary": all(variant["rate"] is not None or not variant["users"] for variant in payload["variants"]),
        "flagged": [day for day in payload["srm"]["daily"] if day["warning"]],
        "users": sum(payload["srm"]["observed"].values()),
        "per_day": charts.exposures_per_day(payload),
        "cumulative": charts.cumulative_exposures(payload),
        "forest": charts.lift_forest(payload),
        "over_time": [chart for chart in over_time if chart is not None],
    }


def recommendation_of(experiment: Experiment) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = results_for(experiment)["recommendation"]
    except ServiceError:
        return None
    return found


def export(model_admin: ConsoleAdmin, request: HttpRequest, experiment: Experiment) -> HttpResponse:  # noqa: ARG001 - as the other pages
    """Variants and comparisons as CSV, figures at full precision."""
    try:
        payload = results_for(experiment, request.GET.get("window") or None)
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error
    response = HttpResponse(content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="results-{experiment.pk}.csv"'
    writer = csv.writer(response)
    window = payload["window"]
    writer.writerow(["experiment", experiment.pk, "since", window["since"], "until", window["until"]])
    writer.writerow([])
    writer.writerow(["variant", "users", "conversions", "rate", "mean"])
    for row in payload["variants"]:
        writer.writerow([row["key"], row["users"], row["conversions"], row["rate"], row["mean"]])
    writer.writerow([])
    names = ["metric", "role", "variant", "absoluteLift", "relativeLift", "pValue", "adjustedPValue", "significant"]
    writer.writerow([*names, "ciLow", "ciHigh", "sequentialLow", "sequentialHigh", "probabilityToBeat"])
    for item in payload["comparisons"]:
        pairs = [*(item["ci"] or (None, None)), *(item["sequentialCi"] or (None, None))]
        writer.writerow([*(item[name] for name in names), *pairs, item["probabilityToBeat"]])
    writer.writerow([])
    variants = [row["key"] for row in payload["variants"]]
    writer.writerow(["day", *variants, "pValue", "adjustedPValue", "warning"])
    for day in payload["srm"]["daily"]:
        counts = [day["observed"].get(key, 0) for key in variants]
        writer.writerow([day["date"], *counts, day["pValue"], day["adjustedPValue"], day["warning"]])
    return response
