"""The results page: the API's payload as a person reads it, each chart as a file, and the same figures as CSV."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from analytics.selectors import flag_exposures
from experiments.admin.acts import act_links_for, acts_of, decision_entry
from experiments.admin.results import charts
from experiments.admin.results.results_csv import csv_response, figures_by_metric
from experiments.admin.results.shown_comparisons import has_results, ratio_banner, shown_comparisons
from experiments.analysis import is_intact, results_of, window_of
from experiments.models import Experiment, ExperimentResult
from experiments.payloads import Results
from experiments.selectors import stored_results
from experiments.services import read_results
from tenancy.console_kit.pages import console_page, in_environment
from tenancy.errors import ServiceError

# A banner's colour and icon for each recommendation.
_BANNERS = {
    "ship": ("good", "rocket_launch"),
    "keep_running": ("info", "hourglass_top"),
    "stop": ("warn", "stop_circle"),
    "drop_arm": ("warn", "call_split"),
    "hold": ("warn", "front_hand"),
    "do_not_trust": ("bad", "report"),
}
_METHODS = {
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
_MOST_LISTED = 20
# The page computes the figures of up to so many users itself. Before an experiment's first night, computing takes
# about a second for 300,000 users.
AT_ONCE_USERS = 50_000
_PARTS = {"figures": "experiments/results_figures.html", "recommendation": "experiments/recommendation.html"}


def page(request: HttpRequest, experiment: Experiment, result_id: UUID | None = None) -> HttpResponse:
    """Show results of now, of `?window=` or `?phase=`, broken down by `?segment=`; or stored ones, for good.

    The page asks for the figures of very many users as `?part=figures`. Without scripts it goes on to `?whole=1`,
    which has them.
    """
    stored = _stored_result(experiment, result_id)
    latest = _latest(request, experiment)
    context: dict[str, Any] = {
        "experiment": experiment,
        "stored": stored,
        "permanent": request.build_absolute_uri() if stored else "",
        "latest": latest[:_MOST_LISTED],
        "method_words": _METHODS[Experiment.Method(experiment.method)],
        "window": request.GET.get("window", ""),
        "segment": request.GET.get("segment", ""),
        "chosen_phase": request.GET.get("phase", ""),
        "phases": list(experiment.phases.all()),
        "acts": acts_of(request, experiment),
        "act_links": act_links_for(request, experiment),
        "decision_entry": decision_entry(experiment),
        "attributes_url": in_environment("admin:flags_flagconfig_attributes", experiment.environment),
        "export_url": _export_url(request, experiment, stored),
    }
    part = _PARTS.get(request.GET.get("part", ""))
    is_computed_now = stored is not None or part is not None or "whole" in request.GET
    users = 0 if is_computed_now else users_to_wait_for(experiment)
    if users:
        context |= _waiting(request, experiment, users)
    else:
        context |= _computed(request, experiment, latest, stored)
    if part is not None:
        return render(request, part, context)
    return console_page(request, "experiments/results.html", title=f"Results of {experiment.name}", **context)


def chart(request: HttpRequest, experiment: Experiment, name: str, result_id: UUID | None = None) -> HttpResponse:
    """One of the page's charts as an SVG file, for the same window and breakdown."""
    stored = _stored_result(experiment, result_id)
    results = _results_or_404(request, experiment, stored)
    latest = _latest(request, experiment)
    return charts.svg(request, experiment, _figures(request, experiment, results, latest, stored), name)


def export(request: HttpRequest, experiment: Experiment, result_id: UUID | None = None) -> HttpResponse:
    """Figures per variant, comparisons, guardrails, days and the breakdown as CSV."""
    stored = _stored_result(experiment, result_id)
    return csv_response(experiment, _results_or_404(request, experiment, stored))


def recommended(experiment: Experiment) -> dict[str, Any]:
    """Return what a page needs to say what the results recommend: the results, or the address of the part to load."""
    if users_to_wait_for(experiment):
        address = reverse("admin:experiments_experiment_results", args=[experiment.pk])
        return {"recommendation_url": f"{address}?part=recommendation"}
    try:
        return {"payload": read_results(experiment=experiment)}
    except ServiceError:
        return {}


def users_to_wait_for(experiment: Experiment) -> int:
    """Return about how many users the figures are computed from; 0 where so few that nobody waits for them."""
    phases = list(experiment.phases.all())
    if not phases:
        return 0
    flag_key = experiment.config.flag.key
    exposures = flag_exposures(experiment.environment_id, flag_key, phases[-1].started_at, None)
    users = sum(variant.users for variant in exposures.values())
    return users if users > AT_ONCE_USERS else 0


def _waiting(request: HttpRequest, experiment: Experiment, users: int) -> dict[str, Any]:
    """What is known before the figures are computed, and the address that computes them."""
    try:
        window = window_of(experiment, request.GET.get("window") or None, phase=request.GET.get("phase") or None)
    except ServiceError as error:
        return {"problem": error.problems[0].detail}
    query = _query(request)
    return {
        "phase": {"phase": window.phase.number, "frozen": window.is_frozen},
        "shown_phase": window.phase.number,
        "awaited": {
            "users": users,
            "part_url": f"?{urlencode({**query, 'part': 'figures'})}",
            "whole_url": f"?{urlencode({**query, 'whole': '1'})}",
        },
    }


def _computed(
    request: HttpRequest, experiment: Experiment, latest: Sequence[ExperimentResult], stored: ExperimentResult | None
) -> dict[str, Any]:
    try:
        results = _results(request, experiment, stored)
    except ServiceError as error:
        return {"problem": error.problems[0].detail}
    has_figures = results.get("intact", True)
    variants = figures_by_metric(results)
    comparisons = shown_comparisons(results, variants)
    flagged = [day for day in results["srm"]["daily"] if day["warning"]]
    tone, icon = _BANNERS.get(results["recommendation"]["action"], ("info", "info"))
    return {
        "payload": results,
        "phase": results["window"],
        "shown_phase": results["window"]["phase"],
        "figures": _figures(request, experiment, results, latest, stored) if has_figures else {},
        "tone": tone,
        "icon": icon,
        "ratio": ratio_banner(results),
        "is_judged": has_results(results),
        "primary": [row for row in comparisons if row["role"] == "primary"],
        "secondary": [row for row in comparisons if row["role"] == "secondary"],
        "is_binary": charts.is_rate(results["variants"]),
        "flagged": flagged,
        "users": sum(results["srm"]["observed"].values()),
    }


def _latest(request: HttpRequest, experiment: Experiment) -> list[ExperimentResult]:
    """The youngest stored results: of the phase that was chosen, or of all."""
    rows, phase = stored_results(experiment), request.GET.get("phase", "")
    return list((rows.filter(phase__number=phase) if phase.isdecimal() else rows)[:_MOST_STORED])


def _stored_result(experiment: Experiment, result_id: UUID | None) -> ExperimentResult | None:
    if result_id is None:
        return None
    stored = stored_results(experiment).filter(pk=result_id).first()
    if stored is None:
        raise Http404("There is no such stored result.")
    return stored


def _results(request: HttpRequest, experiment: Experiment, stored: ExperimentResult | None) -> Results:
    """Raises ServiceError where there are no results to show."""
    if stored is not None:
        return results_of(stored)
    window, phase, segment = (request.GET.get(name) or None for name in ("window", "phase", "segment"))
    return read_results(experiment=experiment, window=window, phase=phase, segment=segment)


def _results_or_404(request: HttpRequest, experiment: Experiment, stored: ExperimentResult | None) -> Results:
    try:
        return _results(request, experiment, stored)
    except ServiceError as error:
        raise Http404(error.problems[0].detail) from error


def _figures(
    request: HttpRequest,
    experiment: Experiment,
    results: Results,
    latest: Sequence[ExperimentResult],
    stored: ExperimentResult | None,
) -> dict[str, charts.Figure]:
    """The charts. Lift over time is drawn from the same phase's stored results, up to the results on the page."""
    until = stored.until if stored else None
    of_phase = [
        row
        for row in reversed(latest)
        if row.phase.number == results["window"]["phase"] and (until is None or row.until <= until)
    ]
    history = [row.payload for row in of_phase if is_intact(row)]
    stored_id = stored.pk if stored else None
    return charts.figures_of(results, history, experiment, query=_query(request), stored=stored_id)


def _export_url(request: HttpRequest, experiment: Experiment, stored: ExperimentResult | None) -> str:
    if stored is not None:
        return reverse("admin:experiments_experiment_stored_export", args=[experiment.pk, stored.pk])
    query = _query(request)
    address = reverse("admin:experiments_experiment_export", args=[experiment.pk])
    return f"{address}?{urlencode(query)}" if query else address


def _query(request: HttpRequest) -> dict[str, str]:
    """What the figures are asked for: the window or the phase, and the attribute to break them down by."""
    return {name: request.GET[name] for name in ("window", "phase", "segment") if request.GET.get(name)}
