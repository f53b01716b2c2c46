"""The charts of the results page. This module describes them; the console's kit draws them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from experiments.analysis.effects import FIGURE, SHARE_ABOVE
from experiments.models import Experiment
from experiments.payloads import ComparisonResult, DailyRatio, Results, SegmentComparison, VariantFigures
from tenancy.console_kit.charts import BarChart, ForestChart, Interval, LineChart, Series, Table
from tenancy.console_kit.formats import p_said, p_value

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, how it is drawn (bars, lines or forest), and the address of its file."""

    name: str
    kind: str
    chart: BarChart | LineChart | ForestChart
    file: str


def figures_of(
    results: Results, history: Sequence[Results], experiment: Experiment, *, query: dict[str, str], stored: UUID | None
) -> dict[str, Figure]:
    """Return every chart that has something to show, by name; `query` is what the page was asked with."""
    drawn: list[tuple[str, str, BarChart | LineChart | ForestChart | None]] = [
        ("users-per-day", "bars", users_per_day(results)),
        ("users-so-far", "lines", users_so_far(results)),
        ("lift", "forest", lift_forest(results)),
        ("breakdown", "forest", breakdown_forest(results)),
    ]
    is_of_rates = is_rate(results["variants"])
    primary = [row for row in results["comparisons"] if row["role"] == "primary"]
    for number, row in enumerate(primary, start=1):
        chart = lift_over_time(history, row["variant"], row["metric"], is_of_rates=is_of_rates)
        drawn.append((f"lift-over-time-{number}", "lines", chart))
    return {
        name: Figure(name, kind, chart, _address(experiment, name, query, stored))
        for name, kind, chart in drawn
        if chart is not None
    }


def svg(request: HttpRequest, experiment: Experiment, figures: Mapping[str, Figure], name: str) -> HttpResponse:
    if name not in figures:
        raise Http404("There is no such chart.")
    figure = figures[name]
    response = render(request, "experiments/chart.svg", {"figure": figure}, content_type="image/svg+xml")
    response["Content-Disposition"] = f'attachment; filename="{name}-{experiment.pk}.svg"'
    return response


def users_per_day(results: Results) -> BarChart:
    """New users per day and variant. Days whose users did not arrive in the split's proportions are flagged."""
    days, variants = results["srm"]["daily"], _variants(results)
    return {
        "title": "New users per day",
        "description": _summary_of_days(days, variants),
        "labels": [_short(day["date"]) for day in days],
        "series": [{"name": key, "values": [day["observed"].get(key, 0) for day in days]} for key in variants],
        "flagged": {
            _short(day["date"]): f"sample ratio, adjusted {p_said(day['adjustedPValue'])}"
            for day in days
            if day["warning"]
        },
        "flagged_name": "not in the split's proportions",
        "table": {
            "head": ["Day (UTC)", *variants, "p-value", "adjusted p", "Sample ratio"],
            "rows": [
                [
                    day["date"],
                    *(f"{day['observed'].get(key, 0):,}" for key in variants),
                    p_value(day["pValue"]),
                    p_value(day["adjustedPValue"]),
                    _verdict(day),
                ]
                for day in days
            ],
        },
    }


def users_so_far(results: Results) -> LineChart:
    """Users so far per variant, beside the numbers that the split would give of the same total."""
    days, variants, weights = results["srm"]["daily"], _variants(results), results["window"]["weights"]
    whole = sum(weights.values())
    sums = {key: list(accumulate(day["observed"].get(key, 0) for day in days)) for key in variants}
    totals = [sum(values) for values in zip(*sums.values(), strict=True)]
    shares = sorted({weights[key] for key in variants})
    series: list[Series] = [{"name": key, "values": sums[key]} for key in variants]
    series += [
        {
            "name": "expected by the split" if len(shares) == 1 else f"expected at {weight / 100:g} %",
            "values": [round(total * weight / whole, 1) for total in totals],
            "css": "fs-dashed",
        }
        for weight in shares
    ]
    last = ", ".join(f"{key} {values[-1]:,}" for key, values in sums.items() if values)
    return {
        "title": "Users so far",
        "description": f"Cumulative users per variant: {last}." if last else "No users yet.",
        "labels": [_short(day["date"]) for day in days],
        "series": series,
        "table": {
            "head": ["Day (UTC)", *variants],
            "rows": [[day["date"], *(f"{sums[key][index]:,}" for key in variants)] for index, day in enumerate(days)],
        },
    }


def lift_forest(results: Results) -> ForestChart | None:
    """Return the relative lift of every comparison with its interval; None where no lift is known."""
    rows: list[Interval] = []
    for row in results["comparisons"]:
        lift, limits = row["relativeLift"], row["relativeCi"]
        if lift is not None and limits is not None:
            name = f"{row['metric']}: {row['variant']}"
            rows.append({"name": name, "estimate": lift, "low": limits[0], "high": limits[1], "css": _colour(row)})
    if not rows:
        return None
    level = results["comparisons"][0]["ciLevel"]
    return {
        "title": f"Lift against {results['experiment']['controlVariant']}, with {100 * level:g} % interval",
        "description": _intervals_in_words(rows, lambda value: f"{value:+.1%}"),
        "rows": rows,
        "table": _table_of_intervals("Comparison", "Lift", rows, lambda value: f"{100 * value:+.2f} %"),
    }


def breakdown_forest(results: Results) -> ForestChart | None:
    """Return the primary metric's difference within each value of an attribute; None where no difference is known."""
    breakdown = results.get("breakdown")
    if not breakdown:
        return None
    sign = 1 if results["experiment"]["goal"] == "increase" else -1
    rows: list[Interval] = []
    # Where values are many and equal in some segments alone, one axis cannot hold both kinds of difference.
    kinds = [row.get("liftOf", FIGURE) for segment in breakdown["segments"] for row in segment["comparisons"]]
    of = kinds[0] if kinds else FIGURE
    for segment in breakdown["segments"]:
        for row in segment["comparisons"]:
            difference, limits = row["absoluteLift"], row["ci"]
            if difference is not None and limits is not None and row.get("liftOf", FIGURE) == of:
                css = _colour_of_segment(row, sign * difference)
                name = f"{segment['value']}: {row['variant']}"
                rows.append({"name": name, "estimate": difference, "low": limits[0], "high": limits[1], "css": css})
    if not rows:
        return None
    is_of_rates = of == SHARE_ABOVE or is_rate(results["variants"])
    write = _points if is_of_rates else _plain
    return {
        "title": f"Difference of {results['experiment']['primaryMetric']} by {breakdown['attribute']}"
        f"{', in points' if is_of_rates else ''}",
        "description": _intervals_in_words(rows, write),
        "unit": "points" if is_of_rates else "number",
        "rows": rows,
        "table": _table_of_intervals(breakdown["attribute"], "Difference", rows, write),
    }


def lift_over_time(history: Sequence[Results], variant: str, metric: str, *, is_of_rates: bool) -> LineChart | None:
    """Return the difference in each stored result, with the band that holds however often one looks.

    Difference and band are of the same users: those who decide, or all until there are any. None where fewer than two
    results know the difference.
    """
    every = [
        (str(results["window"]["until"]), row)
        for results in history
        for row in results["comparisons"]
        if (row["role"], row["variant"], row["metric"]) == ("primary", variant, metric) and _difference(row) is not None
    ]
    points = [(until, row) for until, row in every if _kind(row) == _kind(every[-1][1])]
    if len(points) < 2:
        return None
    is_of_rates = is_of_rates or _kind(points[-1][1]) == SHARE_ABOVE
    write = _points if is_of_rates else _plain
    differences = [_difference(row) for _, row in points]
    bands = [row["sequentialCi"] or (None, None) for _, row in points]
    return {
        "title": f"Difference of {metric} over time{', in points' if is_of_rates else ''}: {variant}",
        "description": f"From {len(points)} stored results; the last is {write(differences[-1])}.",
        "labels": [_short(until) for until, _ in points],
        "unit": "points" if is_of_rates else "number",
        "series": [
            {
                "name": "against the control, with the sequential interval",
                "values": differences,
                "low": [low for low, _ in bands],
                "high": [high for _, high in bands],
            }
        ],
        "table": {
            "head": ["Until (UTC)", "Difference", "From", "To"],
            "rows": [
                [until[:16], write(difference), write(low), write(high)]
                for (until, _), difference, (low, high) in zip(points, differences, bands, strict=True)
            ],
        },
    }


def _difference(row: ComparisonResult) -> float | None:
    found = row.get("lookLift")
    return row["absoluteLift"] if found is None else found


def _kind(row: ComparisonResult) -> str:
    """What the difference is of: the metric's figure, or the share of events above a tied quantile."""
    return row.get("liftOf", FIGURE) if row.get("lookLift") is None else row.get("lookLiftOf", FIGURE)


def is_rate(variants: Sequence[VariantFigures]) -> bool:
    """Whether a metric's figures per variant are rates, so that its differences are percentage points."""
    return all(variant["rate"] is not None or not variant["users"] for variant in variants)


def _address(experiment: Experiment, name: str, query: dict[str, str], stored: UUID | None) -> str:
    if stored is not None:
        return reverse("admin:experiments_experiment_stored_chart", args=[experiment.pk, stored, name])
    address = reverse("admin:experiments_experiment_chart", args=[experiment.pk, name])
    return f"{address}?{urlencode(query)}" if query else address


def _variants(results: Results) -> list[str]:
    return [variant["key"] for variant in results["variants"]]


def _verdict(day: DailyRatio) -> str:
    if day["warning"]:
        return "warning"
    return "fine" if day["complete"] and day["pValue"] is not None else "not judged"


def _summary_of_days(days: Sequence[DailyRatio], variants: Sequence[str]) -> str:
    if not days:
        return "No users yet."
    most = max(sum(day["observed"].values()) for day in days)
    flagged = ", ".join(day["date"] for day in days if day["warning"])
    summary = f"{len(days)} days, at most {most:,} new users a day over {' and '.join(variants)}."
    return f"{summary} Flagged: {flagged}." if flagged else f"{summary} No day is flagged."


def _colour(row: ComparisonResult) -> str:
    if not row["significant"]:
        return ""
    return {"better": "fs-positive", "worse": "fs-negative"}.get(row["direction"] or "", "")


def _colour_of_segment(row: SegmentComparison, gain: float) -> str:
    if not row["significant"]:
        return ""
    return "fs-positive" if gain > 0 else "fs-negative"


def _intervals_in_words(rows: Sequence[Interval], write: Callable[[float], str]) -> str:
    return " ".join(
        f"{row['name']}: {write(row['estimate'])}, from {write(row['low'])} to {write(row['high'])}." for row in rows
    )


def _table_of_intervals(name: str, estimate: str, rows: Sequence[Interval], write: Callable[[float], str]) -> Table:
    return {
        "head": [name, estimate, "From", "To"],
        "rows": [[row["name"], write(row["estimate"]), write(row["low"]), write(row["high"])] for row in rows],
    }


def _short(day: str) -> str:
    """Write 2026-11-14 as 14 Nov, short enough for an axis."""
    return f"{int(day[8:10])} {_MONTHS[int(day[5:7]) - 1]}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f} points"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:+,.4g}"
