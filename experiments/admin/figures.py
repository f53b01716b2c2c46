"""The results page's charts by name, and each of them as an SVG file of its own."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from experiments.admin import charts
from experiments.models import Experiment


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, how it is drawn (bars, lines or forest), and the address of its file."""

    name: str
    kind: str
    chart: dict[str, Any]
    file: str = ""


def figures_of(
    payload: dict[str, Any],
    history: list[dict[str, Any]],
    experiment: Experiment,
    *,
    query: dict[str, str],
    stored: UUID | None,
) -> dict[str, Figure]:
    """Every chart there is something to draw in, by name; `query` is what the page was asked with."""
    primary = [item for item in payload["comparisons"] if item["role"] == "primary"]
    drawn: list[tuple[str, str, dict[str, Any] | None]] = [
        ("users-per-day", "bars", charts.exposures_per_day(payload)),
        ("users-so-far", "lines", charts.cumulative_exposures(payload)),
        ("lift", "forest", charts.lift_forest(payload)),
        ("breakdown", "forest", charts.breakdown_forest(payload)),
        *(
            (
                f"lift-over-time-{number}",
                "lines",
                charts.lift_over_time(
                    history, item["variant"], item["metric"], is_rate=charts.is_rate(payload["variants"])
                ),
            )
            for number, item in enumerate(primary, start=1)
        ),
    ]
    return {
        name: Figure(name, kind, chart, _address(experiment, name, query, stored))
        for name, kind, chart in drawn
        if chart is not None
    }


def svg(request: HttpRequest, experiment: Experiment, figures: dict[str, Figure], name: str) -> HttpResponse:
    if name not in figures:
        raise Http404("There is no such chart.")
    figure = figures[name]
    response = render(request, "experiments/chart.svg", {"figure": figure}, content_type="image/svg+xml")
    response["Content-Disposition"] = f'attachment; filename="{name}-{experiment.pk}.svg"'
    return response


def _address(experiment: Experiment, name: str, query: dict[str, str], stored: UUID | None) -> str:
    if stored is not None:
        return reverse("admin:experiments_experiment_stored_chart", args=[experiment.pk, stored, name])
    address = reverse("admin:experiments_experiment_chart", args=[experiment.pk, name])
    given = {key: value for key, value in query.items() if value}
    return f"{address}?{urlencode(given)}" if given else address
