"""The simulation page: a design run thousands of times by every method, and the tests held to one's own users."""

import math
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, QueryDict

from experiments.models import Experiment, Metric
from experiments.selectors import get_metric, metrics
from experiments.simulations import NullCheck, check_null, forecast
from tenancy.admin import visit
from tenancy.errors import ServiceError
from tenancy.models import Environment

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin

# Fewer than the command's: the rates are right to about one percentage point, and the page answers at once.
REPLICATIONS = 2_000
# Random splits of one's own users; enough to tell 5 % from 9 %.
SPLITS = 400
_CHECKED_DAYS = 14
_MOST_DAYS = 60
_NOT_CHECKED = (Metric.Type.RATIO, Metric.Type.QUANTILE)
_MOST_USERS_PER_DAY = 10_000_000
_FIELDS = {
    "usersPerDay": ("Users a day, both variants", "1000"),
    "days": ("Days", "14"),
    "baseline": ("Rate of today, in %", "10"),
    "lift": ("Relative change to find, in %", "10"),
}


def page(model_admin: "ExperimentAdmin", request: HttpRequest) -> HttpResponse:
    texts = {name: request.GET.get(name, default).strip() for name, (_, default) in _FIELDS.items()}
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    numbers = {name: _number(text) for name, text in texts.items()}
    problems += [f"{_FIELDS[name][0]}: give a number." for name, value in numbers.items() if value is None]
    if not problems:
        given = {name: value for name, value in numbers.items() if value is not None}
        if not (1 <= given["days"] <= _MOST_DAYS and 2 <= given["usersPerDay"] <= _MOST_USERS_PER_DAY):
            problems = [f"Give 1 to {_MOST_DAYS} days, and 2 to {_MOST_USERS_PER_DAY:,} users a day."]
        elif not given["lift"]:
            problems = ["Give a change other than 0; false positives are told of no change at all as it is."]
        else:
            try:
                rows = [_row(method, given) for method in Experiment.Method.values]
            except ServiceError as error:
                problems = [problem.detail for problem in error.problems]
    environment = visit(request).environment
    checked, refusals = _checked(environment, request.GET) if environment else (None, [])
    return model_admin.page(
        request,
        "experiments/simulation.html",
        environment=environment,
        flags=_flag_keys(environment) if environment else [],
        metrics=metrics(environment.project).exclude(type__in=_NOT_CHECKED) if environment else [],
        asked={name: request.GET.get(name, "") for name in ("flag", "metric")},
        checked=checked,
        refusals=refusals,
        splits=SPLITS,
        title="Simulate a design",
        fields=[(name, label, texts[name]) for name, (label, _) in _FIELDS.items()],
        rows=rows,
        problems=problems,
        replications=REPLICATIONS,
        status=422 if problems or refusals else 200,
    )


def _checked(environment: Environment, sent: QueryDict) -> tuple[NullCheck | None, list[str]]:
    """An A/A check of the environment's own users, where one was asked for."""
    flag_key, metric_key = sent.get("flag", ""), sent.get("metric", "")
    if not flag_key and not metric_key:
        return None, []
    try:
        metric = get_metric(environment.project, metric_key)
        return check_null(environment, flag_key, metric, days=_CHECKED_DAYS, replications=SPLITS), []
    except ServiceError as error:
        return None, [problem.detail for problem in error.problems]


def _flag_keys(environment: Environment) -> list[str]:
    live = environment.flag_configs.filter(flag__is_archived=False)
    return list(live.order_by("flag__key").values_list("flag__key", flat=True))


def _row(method: str, given: dict[str, float]) -> dict[str, Any]:
    baseline, lift = given["baseline"] / 100, given["lift"] / 100
    found = forecast(
        users_per_day=int(given["usersPerDay"]),
        days=int(given["days"]),
        baseline=baseline,
        lift=lift,
        method=method,
        replications=REPLICATIONS,
    )
    claimed = found.with_effect.mean_claimed_effect
    return {
        "method": Experiment.Method(method).label,
        "power": found.with_effect.right_direction_rate,
        "stop_day": found.with_effect.mean_stop_day,
        "half_by": _day_of_half(found.with_effect.stop_days),
        "false_positives": found.without.claim_rate,
        "exaggeration": None if claimed is None else claimed / (baseline * lift),
    }


def _day_of_half(stop_days: tuple[float, ...]) -> int:
    """The first day by which half of the runs have stopped."""
    total = 0.0
    for day, share in enumerate(stop_days, start=1):
        total += share
        if total >= 0.5:
            return day
    return len(stop_days)


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
