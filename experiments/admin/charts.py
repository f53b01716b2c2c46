"""What the results page draws: plain descriptions that the console's chart tags turn into SVG, each with its table."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

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
        ("users-per-day", "bars", exposures_per_day(payload)),
        ("users-so-far", "lines", cumulative_exposures(payload)),
        ("lift", "forest", lift_forest(payload)),
        ("breakdown", "forest", breakdown_forest(payload)),
        *(
            (
                f"lift-over-time-{number}",
                "lines",
                lift_over_time(history, item["variant"], item["metric"], is_rate=is_rate(payload["variants"])),
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


def exposures_per_day(payload: dict[str, Any]) -> dict[str, Any]:
    """New users per day and variant; days on which users did not arrive in the split's proportions stand out."""
    days = payload["srm"]["daily"]
    variants = _arms(payload)
    flagged = {
        _short(day["date"]): f"sample ratio, adjusted p = {day['adjustedPValue']:.2g}" for day in days if day["warning"]
    }
    most = max((sum(day["observed"].values()) for day in days), default=0)
    return {
        "title": "New users per day",
        "description": _said(days, variants, most),
        "labels": [_short(day["date"]) for day in days],
        "series": [{"name": key, "values": [day["observed"].get(key, 0) for day in days]} for key in variants],
        "flagged": flagged,
        "flagged_name": "not in the split's proportions",
        "table": {
            "head": ["Day (UTC)", *variants, "p-value", "adjusted p", "Sample ratio"],
            "rows": [
                [
                    day["date"],
                    *(f"{day['observed'].get(key, 0):,}" for key in variants),
                    _p(day["pValue"]),
                    _p(day["adjustedPValue"]),
                    "warning"
                    if day["warning"]
                    else "fine"
                    if day["complete"] and day["pValue"] is not None
                    else "not judged",
                ]
                for day in days
            ],
        },
    }


def cumulative_exposures(payload: dict[str, Any]) -> dict[str, Any]:
    """Users so far per variant, beside what the split would give of the same total."""
    days = payload["srm"]["daily"]
    variants = _arms(payload)
    weights = payload["window"]["weights"]
    whole = sum(weights.values())
    sums = {key: list(accumulate(day["observed"].get(key, 0) for day in days)) for key in variants}
    totals = [sum(values) for values in zip(*sums.values(), strict=True)] if sums else []
    series: list[dict[str, Any]] = [{"name": key, "values": sums[key]} for key in variants]
    shares = sorted({weights[key] for key in variants})
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


def lift_forest(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Relative lift of every comparison with its interval; None where there is none to draw."""
    rows = []
    for item in payload["comparisons"]:
        interval = item["relativeCi"]
        if item["relativeLift"] is None or interval is None:
            continue
        css = (
            {"better": "fs-positive", "worse": "fs-negative"}.get(item["direction"] or "")
            if item["significant"]
            else ""
        )
        rows.append(
            {
                "name": f"{item['metric']}: {item['variant']}",
                "estimate": item["relativeLift"],
                "low": interval[0],
                "high": interval[1],
                "css": css or "",
            }
        )
    if not rows:
        return None
    level = payload["comparisons"][0]["ciLevel"]
    return {
        "title": f"Lift against {payload['experiment']['controlVariant']}, with {100 * level:g} % interval",
        "description": " ".join(
            "{name}: {:+.1%}, from {:+.1%} to {:+.1%}.".format(
                row["estimate"], row["low"], row["high"], name=row["name"]
            )
            for row in rows
        ),
        "rows": rows,
        "table": {
            "head": ["Comparison", "Lift", "From", "To"],
            "rows": [
                [row["name"], *(f"{100 * row[name]:+.2f} %" for name in ("estimate", "low", "high"))] for row in rows
            ],
        },
    }


def is_rate(variants: list[dict[str, Any]]) -> bool:
    """Whether a metric's figures per variant are rates, so that its differences are points of percent."""
    return all(variant["rate"] is not None or not variant["users"] for variant in variants)


def breakdown_forest(payload: dict[str, Any]) -> dict[str, Any] | None:
    """The primary metric's difference within each value of an attribute; None where there is none to draw."""
    breakdown = payload.get("breakdown")
    if not breakdown:
        return None
    found = [
        (f"{segment['value']}: {item['variant']}", item)
        for segment in breakdown["segments"]
        for item in segment["comparisons"]
        if item["absoluteLift"] is not None and item["ci"] is not None
    ]
    if not found:
        return None
    sign = 1 if payload["experiment"]["goal"] == "increase" else -1
    rows = [
        {
            "name": name,
            "estimate": item["absoluteLift"],
            "low": item["ci"][0],
            "high": item["ci"][1],
            "css": ("fs-positive" if sign * item["absoluteLift"] > 0 else "fs-negative") if item["significant"] else "",
        }
        for name, item in found
    ]
    is_of_rates = is_rate(payload["variants"])
    said = _points if is_of_rates else _plain
    return {
        "title": f"Difference of {payload['experiment']['primaryMetric']} by {breakdown['attribute']}"
        f"{', in points' if is_of_rates else ''}",
        "description": " ".join(
            f"{row['name']}: {said(row['estimate'])}, from {said(row['low'])} to {said(row['high'])}." for row in rows
        ),
        "unit": "points" if is_of_rates else "number",
        "rows": rows,
        "table": {
            "head": [breakdown["attribute"], "Difference", "From", "To"],
            "rows": [[row["name"], *(said(row[name]) for name in ("estimate", "low", "high"))] for row in rows],
        },
    }


def lift_over_time(stored: list[dict[str, Any]], variant: str, metric: str, *, is_rate: bool) -> dict[str, Any] | None:
    """The primary metric's difference in each stored result, with the band that holds however often one looks."""
    said = _points if is_rate else _plain
    points = []
    for payload in stored:
        found = [
            item
            for item in payload["comparisons"]
            if item["role"] == "primary" and item["variant"] == variant and item["metric"] == metric
        ]
        if found and found[0]["absoluteLift"] is not None:
            points.append((payload["window"]["until"], found[0]))
    if len(points) < 2:
        return None
    bands = [item["sequentialCi"] or (None, None) for _, item in points]
    return {
        "title": f"Difference of {metric} over time{', in points' if is_rate else ''}: {variant}",
        "description": f"From {len(points)} stored results; the last is {said(points[-1][1]['absoluteLift'])}.",
        "labels": [_short(str(until)[:10]) for until, _ in points],
        "unit": "points" if is_rate else "number",
        "series": [
            {
                "name": "against the control, with the sequential interval",
                "values": [item["absoluteLift"] for _, item in points],
                "low": [band[0] for band in bands],
                "high": [band[1] for band in bands],
            }
        ],
        "table": {
            "head": ["Until (UTC)", "Difference", "From", "To"],
            "rows": [
                [str(until)[:16], said(item["absoluteLift"]), said(band[0]), said(band[1])]
                for (until, item), band in zip(points, bands, strict=True)
            ],
        },
    }


def _arms(payload: dict[str, Any]) -> list[str]:
    return [variant["key"] for variant in payload["variants"]]


def _said(days: list[dict[str, Any]], variants: list[str], most: int) -> str:
    if not days:
        return "No users yet."
    warned = [day["date"] for day in days if day["warning"]]
    said = f"{len(days)} days, at most {most:,} new users a day over {' and '.join(variants)}."
    return f"{said} Flagged: {', '.join(warned)}." if warned else f"{said} No day is flagged."


def _short(day: str) -> str:
    """2026-11-14 as 14 Nov, short enough for an axis."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return f"{int(day[8:10])} {months[int(day[5:7]) - 1]}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f} points"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:+,.4g}"


def _address(experiment: Experiment, name: str, query: dict[str, str], stored: UUID | None) -> str:
    if stored is not None:
        return reverse("admin:experiments_experiment_stored_chart", args=[experiment.pk, stored, name])
    address = reverse("admin:experiments_experiment_chart", args=[experiment.pk, name])
    given = {key: value for key, value in query.items() if value}
    return f"{address}?{urlencode(given)}" if given else address
