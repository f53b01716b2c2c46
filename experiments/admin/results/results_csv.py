"""An experiment's results as CSV, at full precision: one block of rows for each kind of figure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from django.http import HttpResponse

from audit.export_formats import csv_rows
from experiments.models import Experiment
from experiments.payloads import (
    Breakdown,
    ComparisonResult,
    DailyRatio,
    GuardrailResult,
    Limits,
    Results,
    ResultWindow,
    VariantFigures,
)

Row = Sequence[object]


def csv_response(experiment: Experiment, results: Results) -> HttpResponse:
    response = HttpResponse(content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="results-{experiment.pk}.csv"'
    for number, block in enumerate(_blocks(experiment, results)):
        response.writelines(csv_rows(chain([[]] if number else [], block)))
    return response


def figures_by_metric(results: Results) -> dict[str, Sequence[VariantFigures]]:
    """Return each metric's figures per variant, the primary metric first."""
    secondary: dict[str, Sequence[VariantFigures]] = {row["metric"]: row["variants"] for row in results["metrics"]}
    return {results["experiment"]["primaryMetric"]: results["variants"], **secondary}


def _blocks(experiment: Experiment, results: Results) -> Iterator[Iterable[Row]]:
    yield [_window(experiment, results["window"])]
    if not results.get("intact", True):
        yield [[caveat] for caveat in results["caveats"]]
    yield _variants(figures_by_metric(results))
    yield _comparisons(results["comparisons"])
    if results["guardrails"]:
        yield _guardrails(results["guardrails"])
    yield _days(results["srm"]["daily"], [row["key"] for row in results["variants"]])
    if "breakdown" in results:
        yield _breakdown(results["breakdown"])


def _window(experiment: Experiment, window: ResultWindow) -> Row:
    span = ["since", window["since"], "until", window["until"]]
    return ["experiment", experiment.pk, *span, "phase", window["phase"]]


def _variants(figures: Mapping[str, Sequence[VariantFigures]]) -> Iterator[Row]:
    yield ["metric", "variant", "users", "conversions", "rate", "mean", "total"]
    for metric, rows in figures.items():
        for row in rows:
            yield [metric, row["key"], row["users"], row["conversions"], row["rate"], row["mean"], row["total"]]


def _comparisons(comparisons: Sequence[ComparisonResult]) -> Iterator[Row]:
    yield [
        "metric", "role", "variant", "absoluteLift", "relativeLift", "pValue", "adjustedPValue", "significant",
        "ciLow", "ciHigh", "sequentialLow", "sequentialHigh", "probabilityToBeat", "exploratorySince",
    ]  # fmt: skip
    for row in comparisons:
        yield [
            row["metric"], row["role"], row["variant"], row["absoluteLift"], row["relativeLift"], row["pValue"],
            row["adjustedPValue"], row["significant"], *_limits(row["ci"]), *_limits(row["sequentialCi"]),
            row["probabilityToBeat"], row.get("exploratorySince"),
        ]  # fmt: skip


def _guardrails(guardrails: Sequence[GuardrailResult]) -> Iterator[Row]:
    yield [
        "guardrail", "variant", "control", "treatment", "relativeLift", "marginPercent", "bound", "pValue", "status",
        "exploratorySince",
    ]  # fmt: skip
    for row in guardrails:
        yield [
            row["metric"], row["variant"], row["control"], row["treatment"], row["relativeLift"],
            row["marginPercent"], row["bound"], row["pValue"], row["status"],
            row.get("exploratorySince"),
        ]  # fmt: skip


def _days(days: Sequence[DailyRatio], variants: Sequence[str]) -> Iterator[Row]:
    yield ["day", *variants, "pValue", "adjustedPValue", "warning"]
    for day in days:
        counts = [day["observed"].get(key, 0) for key in variants]
        yield [day["date"], *counts, day["pValue"], day["adjustedPValue"], day["warning"]]


def _breakdown(breakdown: Breakdown) -> Iterator[Row]:
    yield [
        breakdown["attribute"], "variant", "users", "absoluteLift", "relativeLift", "ciLow", "ciHigh", "pValue",
        "adjustedPValue", "significant",
    ]  # fmt: skip
    for segment in breakdown["segments"]:
        for row in segment["comparisons"]:
            yield [
                segment["value"], row["variant"], segment["users"], row["absoluteLift"], row["relativeLift"],
                *_limits(row["ci"]), row["pValue"], row["adjustedPValue"], row["significant"],
            ]  # fmt: skip


def _limits(interval: Limits) -> Row:
    return interval or (None, None)
