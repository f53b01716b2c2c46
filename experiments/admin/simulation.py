"""The simulation page: a design run thousands of times before a single user is spent on it, by every method."""

import math
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse

from experiments.models import Experiment
from experiments.simulations import forecast
from tenancy.errors import ServiceError

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin

# Fewer than the command's: the rates are right to about one percentage point, and the page answers at once.
REPLICATIONS = 2_000
_MOST_DAYS = 60
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
    return model_admin.page(
        request,
        "experiments/simulation.html",
        title="Simulate a design",
        fields=[(name, label, texts[name]) for name, (label, _) in _FIELDS.items()],
        rows=rows,
        problems=problems,
        replications=REPLICATIONS,
        status=422 if problems else 200,
    )


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
