"""The simulation page: a design run thousands of times by every method, and an A/A check on one's own users."""

from typing import Any, TypedDict
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from experiments.admin.simulation.simulation_slices import (
    REPLICATIONS,
    SPLITS,
    ForecastSlices,
    NullSlices,
    SimulatedDesign,
)
from experiments.admin.typed_numbers import typed_number
from experiments.analysis.metric_types import per_user_type
from experiments.design.simulations import Runs
from experiments.models import Experiment
from experiments.selectors import get_metric, metrics
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page, list_url
from tenancy.errors import Invalid, ServiceError
from tenancy.models import Environment

_MOST_DAYS = 60
_MOST_USERS_PER_DAY = 10_000_000
_FIELDS = {
    "usersPerDay": ("Users a day, both variants", "1000"),
    "days": ("Days", "14"),
    "baseline": ("Rate of today, in %", "10"),
    "lift": ("Relative change to find, in %", "10"),
}


class ForecastRow(TypedDict):
    """What one method comes to: shares of the runs, days, and the claimed change as a multiple of the true one."""

    method: str
    power: float
    stop_day: float | None
    half_by: int
    false_positives: float
    exaggeration: float | None


def page(request: HttpRequest) -> HttpResponse:
    """Show the results of a first slice. The page then asks for further slices of one part by itself."""
    sent, environment = request.GET, console_context(request).environment
    part = sent.get("part", "") if request.headers.get("HX-Request") else ""
    shown: dict[str, Any] = {
        "url": request.path,
        "list_url": list_url(Experiment, environment=environment),
        "environment": environment,
    }
    is_null_asked = bool(sent.get("flag") or sent.get("metric"))
    if part != "null" and (not is_null_asked or _FIELDS.keys() & sent.keys()):
        shown |= _forecast(sent)
    if part != "forecast" and environment and is_null_asked:
        shown |= _null_check(environment, sent)
    if part in {"forecast", "null"}:
        # htmx reads what it inserts as if scripts were off: a <noscript> field `whole` would be sent at once.
        return render(request, f"experiments/simulation_{part}.html", {**shown, "is_part": True})
    return console_page(
        request,
        "experiments/simulation.html",
        flags=_flag_options(environment, sent.get("flag", "")) if environment else "",
        metrics=[metric for metric in metrics(environment.project) if per_user_type(metric)] if environment else [],
        asked={"metric": sent.get("metric", "")},
        splits=SPLITS,
        title="Simulate a design",
        fields=[(name, label, text) for (name, (label, _)), text in zip(_FIELDS.items(), _texts(sent), strict=True)],
        status=422 if shown.get("problems") or shown.get("refusals") else 200,
        **shown,
    )


def _texts(sent: QueryDict) -> list[str]:
    return [sent.get(name, default).strip() for name, (_, default) in _FIELDS.items()]


def _forecast(sent: QueryDict) -> dict[str, Any]:
    """The runs that are done so far, or what is wrong with the design."""
    texts = dict(zip(_FIELDS, _texts(sent), strict=True))
    shown: dict[str, Any] = {"design": texts, "replications": REPLICATIONS, "link": f"?{urlencode(texts)}"}
    try:
        slices = ForecastSlices.resumed(_design(texts), _state(sent, "forecast"))
        slices.work(is_whole="whole" in sent)
    except ServiceError as error:
        return {**shown, "problems": [problem.detail for problem in error.problems]}
    effect = slices.design["baseline"] * slices.design["lift"]
    return {**shown, "forecast": slices, "rows": [_row(*each, effect) for each in slices.complete.items()]}


def _design(texts: dict[str, str]) -> SimulatedDesign:
    """Raises Invalid, with everything that is wrong."""
    numbers = {name: typed_number(text) for name, text in texts.items()}
    given = {name: value for name, value in numbers.items() if value is not None}
    if len(given) < len(numbers):
        wrong = [_FIELDS[name][0] for name, value in numbers.items() if value is None]
        raise Invalid(f"Give a number: {', '.join(wrong)}.")
    if not (1 <= given["days"] <= _MOST_DAYS and 2 <= given["usersPerDay"] <= _MOST_USERS_PER_DAY):
        raise Invalid(f"Give 1 to {_MOST_DAYS} days, and 2 to {_MOST_USERS_PER_DAY:,} users a day.")
    if not given["lift"]:
        raise Invalid("Give a change other than 0; the page tells the false positives of no change anyway.")
    return {
        "users_per_day": int(given["usersPerDay"]),
        "days": int(given["days"]),
        "baseline": given["baseline"] / 100,
        "lift": given["lift"] / 100,
    }


def _null_check(environment: Environment, sent: QueryDict) -> dict[str, Any]:
    """An A/A check on the environment's own users."""
    asked = {"environment": str(environment.pk), "flag": sent.get("flag", ""), "metric": sent.get("metric", "")}
    shown: dict[str, Any] = {"null_asked": asked, "null_link": f"?{urlencode(asked)}"}
    try:
        metric = get_metric(environment.project, asked["metric"])
        slices = NullSlices.resumed(environment, asked["flag"], metric, _state(sent, "null"))
        slices.work(is_whole="whole" in sent)
    except ServiceError as error:
        return {**shown, "refusals": [problem.detail for problem in error.problems]}
    return {**shown, "null": slices, "checked": slices.check if slices.is_finished else None}


def _state(sent: QueryDict, part: str) -> str:
    return sent.get("state", "") if sent.get("part") == part else ""


def _flag_options(environment: Environment, chosen: str) -> SafeString:
    """Put together here, since the template's own loop takes a fifth of a second for ten thousand."""
    live = environment.flag_configs.filter(flag__is_archived=False)
    keys = live.order_by("flag__key").values_list("flag__key", flat=True)
    lines = escape("\n".join(keys)).split("\n")
    options = (f"<option{' selected' if line == chosen else ''}>{line}</option>" for line in lines if line)
    return mark_safe("".join(options))  # noqa: S308 - all of it is escaped, at once


def _row(method: str, runs: Runs, effect: float) -> ForecastRow:
    forecast = runs.forecast
    claimed = forecast.with_effect.mean_claimed_effect
    return {
        "method": Experiment.Method(method).label,
        "power": forecast.with_effect.right_direction_rate,
        "stop_day": forecast.with_effect.mean_stop_day,
        "half_by": _day_of_half(forecast.with_effect.stop_days),
        "false_positives": forecast.without.claim_rate,
        "exaggeration": None if claimed is None else claimed / effect,
    }


def _day_of_half(stop_days: tuple[float, ...]) -> int:
    """The first day by which half of the runs have stopped."""
    total = 0.0
    for day, share in enumerate(stop_days, start=1):
        total += share
        if total >= 0.5:
            return day
    return len(stop_days)
