"""The results page: from the API's payload to what a person reads, and the same figures as CSV."""

import csv
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from analytics.selectors import flag_exposures
from experiments.admin import charts
from experiments.admin.charts import is_rate
from experiments.admin.pages import console_page
from experiments.analysis import results_for, window_of
from experiments.models import Experiment, ExperimentResult
from experiments.selectors import stored_results
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
# Figures of so many are there with the page; before an experiment's first night a second goes by for some 300,000.
AT_ONCE_USERS = 50_000
_PARTS = {"figures": "experiments/results_figures.html", "recommendation": "experiments/recommendation.html"}


def page(request: HttpRequest, experiment: Experiment, result_id: UUID | None = None) -> HttpResponse:
    """Results as of now, of `?window=`, broken down by `?segment=`; or as stored, under a permanent address.

    Figures of now out of very many users come after the page, which asks for them as `?part=figures`; without scripts
    it goes on to `?whole=1`, which has them.
    """
    stored = _stored(experiment, result_id)
    latest = list(stored_results(experiment)[:_MOST_STORED])
    context: dict[str, Any] = {
        "experiment": experiment,
        "stored": stored,
        "permanent": request.build_absolute_uri() if stored else "",
        "latest": latest[:20],
        "method_words": METHODS[Experiment.Method(experiment.method)],
        "window": request.GET.get("window", ""),
        "segment": request.GET.get("segment", ""),
        "attributes_url": f"{reverse('admin:flags_flagconfig_attributes')}?environment={experiment.environment_id}",
        "export_url": _export_url(request, experiment, stored),
    }
    part = _PARTS.get(request.GET.get("part", ""))
    users = users_to_await(experiment) if stored is None and part is None and "whole" not in request.GET else 0
    if users:
        context |= _announced(request, experiment, users)
    else:
        context |= _worked_out(request, experiment, latest, stored)
    if part is not None:
        return render(request, part, context)
    title = f"Results of {experiment.name}"
    return console_page(request, "experiments/results.html", title=title, **context)


def users_to_await(experiment: Experiment) -> int:
    """About how many users the figures of now are worked out from; 0 where so few that nobody waits for them."""
    phases = list(experiment.phases.all())
    if not phases:
        return 0
    flag_key = experiment.config.flag.key
    seen = flag_exposures(experiment.environment_id, flag_key, phases[-1].started_at, None)
    users = sum(arm.users for arm in seen.values())
    return users if users > AT_ONCE_USERS else 0


def _announced(request: HttpRequest, experiment: Experiment, users: int) -> dict[str, Any]:
    """What is known before the figures are, and where they are to be had."""
    try:
        window = window_of(experiment, request.GET.get("window") or None)
    except ServiceError as error:
        return {"problem": error.problems[0].detail}
    asked = _asked(request)
    return {
        "about": {"phase": window.phase.number, "frozen": window.is_frozen},
        "awaited": {
            "users": users,
            "part_url": f"?{urlencode({**asked, 'part': 'figures'})}",
            "whole_url": f"?{urlencode({**asked, 'whole': '1'})}",
        },
    }


def _worked_out(
    request: HttpRequest, experiment: Experiment, latest: list[ExperimentResult], stored: ExperimentResult | None
) -> dict[str, Any]:
    try:
        payload = _payload(request, experiment, stored)
    except ServiceError as error:
        return {"problem": error.problems[0].detail}
    drawn = _figures(request, experiment, payload, latest, stored)
    return {"payload": payload, "about": payload["window"], "figures": drawn, **_shown(payload)}


def chart(
    request: HttpRequest,
    experiment: Experiment,
    name: str,
    result_id: UUID | None = None,
) -> HttpResponse:
    """One of the page's charts as an SVG file, for the same window and breakdown."""
    stored = _stored(experiment, result_id)
    try:
        payload = _payload(request, experiment, stored)
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error
    latest = list(stored_results(experiment)[:_MOST_STORED])
    return charts.svg(request, experiment, _figures(request, experiment, payload, latest, stored), name)


def _stored(experiment: Experiment, result_id: UUID | None) -> ExperimentResult | None:
    if result_id is None:
        return None
    found = stored_results(experiment).filter(pk=result_id).first()
    if found is None:
        raise Http404("There is no such stored result.")
    return found


def _payload(request: HttpRequest, experiment: Experiment, stored: ExperimentResult | None) -> dict[str, Any]:
    """Raises ServiceError where there are no results to show."""
    if stored is not None:
        kept: dict[str, Any] = stored.payload
        return kept
    return results_for(experiment, request.GET.get("window") or None, segment=request.GET.get("segment") or None)


def _figures(
    request: HttpRequest,
    experiment: Experiment,
    payload: dict[str, Any],
    latest: list[ExperimentResult],
    stored: ExperimentResult | None,
) -> dict[str, charts.Figure]:
    """The charts; lift over time out of what was stored of the same phase, up to the results on the page."""
    until = stored.until if stored else None
    history = [
        row.payload
        for row in reversed(latest)
        if row.phase.number == payload["window"]["phase"] and (until is None or row.until <= until)
    ]
    query = {name: request.GET.get(name, "") for name in ("window", "segment")}
    return charts.figures_of(payload, history, experiment, query=query, stored=stored.pk if stored else None)


def _export_url(request: HttpRequest, experiment: Experiment, stored: ExperimentResult | None) -> str:
    if stored is not None:
        return reverse("admin:experiments_experiment_stored_export", args=[experiment.pk, stored.pk])
    given = _asked(request)
    address = reverse("admin:experiments_experiment_export", args=[experiment.pk])
    return f"{address}?{urlencode(given)}" if given else address


def _asked(request: HttpRequest) -> dict[str, str]:
    """What figures are asked for."""
    return {name: request.GET[name] for name in ("window", "segment") if request.GET.get(name)}


def _shown(payload: dict[str, Any]) -> dict[str, Any]:
    action = payload["recommendation"]["action"]
    arms = _arms_of(payload)
    compared = [{**item, "is_rate": is_rate(arms[item["metric"]])} for item in payload["comparisons"]]
    return {
        "tone": _TONES.get(action, "info"),
        "icon": _ICONS.get(action, "info"),
        "primary": [item for item in compared if item["role"] == "primary"],
        "secondary": [item for item in compared if item["role"] == "secondary"],
        "is_binary": is_rate(payload["variants"]),
        "flagged": [day for day in payload["srm"]["daily"] if day["warning"]],
        "users": sum(payload["srm"]["observed"].values()),
    }


def _arms_of(payload: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Each metric's figures per variant, the primary one's first."""
    secondary = {row["metric"]: row["variants"] for row in payload["metrics"]}
    return {payload["experiment"]["primaryMetric"]: payload["variants"], **secondary}


def recommended(experiment: Experiment) -> dict[str, Any]:
    """What a page needs to say what the results recommend: their payload, or else the address of the part to load."""
    if users_to_await(experiment):
        address = reverse("admin:experiments_experiment_results", args=[experiment.pk])
        return {"recommendation_url": f"{address}?part=recommendation"}
    try:
        return {"payload": results_for(experiment)}
    except ServiceError:
        return {}


def export(
    request: HttpRequest,
    experiment: Experiment,
    result_id: UUID | None = None,
) -> HttpResponse:
    """Figures per variant, comparisons, guardrails, days and the breakdown as CSV, at full precision."""
    try:
        payload = _payload(request, experiment, _stored(experiment, result_id))
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error
    response = HttpResponse(content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="results-{experiment.pk}.csv"'
    writer = csv.writer(response)
    window = payload["window"]
    writer.writerow(["experiment", experiment.pk, "since", window["since"], "until", window["until"]])
    writer.writerow([])
    names = ["users", "conversions", "rate", "mean", "total"]
    writer.writerow(["metric", "variant", *names])
    for metric, arms in _arms_of(payload).items():
        for row in arms:
            writer.writerow([metric, row["key"], *(row[name] for name in names)])
    writer.writerow([])
    names = ["metric", "role", "variant", "absoluteLift", "relativeLift", "pValue", "adjustedPValue", "significant"]
    writer.writerow([*names, "ciLow", "ciHigh", "sequentialLow", "sequentialHigh", "probabilityToBeat"])
    for item in payload["comparisons"]:
        pairs = [*(item["ci"] or (None, None)), *(item["sequentialCi"] or (None, None))]
        writer.writerow([*(item[name] for name in names), *pairs, item["probabilityToBeat"]])
    writer.writerow([])
    if payload["guardrails"]:
        names = ["variant", "control", "treatment", "relativeLift", "marginPercent", "bound", "pValue", "status"]
        writer.writerow(["guardrail", *names])
        for judged in payload["guardrails"]:
            writer.writerow([judged["metric"], *(judged[name] for name in names)])
        writer.writerow([])
    variants = [row["key"] for row in payload["variants"]]
    writer.writerow(["day", *variants, "pValue", "adjustedPValue", "warning"])
    for day in payload["srm"]["daily"]:
        counts = [day["observed"].get(key, 0) for key in variants]
        writer.writerow([day["date"], *counts, day["pValue"], day["adjustedPValue"], day["warning"]])
    if payload.get("breakdown"):
        writer.writerow([])
        writer.writerow(
            [payload["breakdown"]["attribute"], "variant", "users", "absoluteLift", "relativeLift", "ciLow", "ciHigh",
             "pValue", "adjustedPValue", "significant"]
        )  # fmt: skip
        for segment in payload["breakdown"]["segments"]:
            for item in segment["comparisons"]:
                interval = item["ci"] or (None, None)
                writer.writerow(
                    [segment["value"], item["variant"], segment["users"], item["absoluteLift"], item["relativeLift"],
                     *interval, item["pValue"], item["adjustedPValue"], item["significant"]]
                )  # fmt: skip
    return response
