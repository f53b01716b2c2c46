"""The comparisons as the results page shows them: one result a row, by the interval that decides; the others beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.admin.results.charts import is_rate
from experiments.analysis.effects import RELATIVE, SHARE_ABOVE
from experiments.decisions.outcome import Reason
from experiments.models import Experiment
from experiments.payloads import ComparisonResult, Limits, Results, VariantFigures

_NO_RESULT = {Reason.DATA, Reason.NO_VERDICT}


@dataclass(frozen=True, slots=True)
class NamedInterval:
    """An interval that does not decide, with the difference that it belongs to."""

    name: str
    difference: float | None
    limits: Limits
    is_lift: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a row shows: the figures of the users who decide, or those of all users until there are any."""

    difference: float | None
    lift: float | None
    interval: Limits
    others: list[NamedInterval]


class ShownComparison(ComparisonResult):
    """A comparison with `is_rate`, whether its differences are percentage points, and what its row shows."""

    is_rate: bool
    shown: Shown


@dataclass(frozen=True, slots=True)
class RatioBanner:
    """The sample ratio in one sentence, which agrees with the verdict above it."""

    tone: str
    icon: str
    text: str


def shown_comparisons(results: Results, variants: Mapping[str, Sequence[VariantFigures]]) -> list[ShownComparison]:
    return [
        {
            **row,
            "is_rate": row.get("liftOf") == SHARE_ABOVE or is_rate(variants[row["metric"]]),
            "shown": _shown(row, results["experiment"]["method"]),
        }
        for row in results["comparisons"]
    ]


def has_results(results: Results) -> bool:
    """Whether a row may say better or worse: not where the data failed a check, or where there is no verdict."""
    return results["recommendation"].get("reason", "") not in _NO_RESULT


def ratio_banner(results: Results) -> RatioBanner:
    ratio = results["srm"]
    reasons = results["recommendation"]["reasons"] if not has_results(results) else []
    if any(reason.startswith("Sample ratio") for reason in reasons):
        return RatioBanner("bad", "report", "Sample ratio mismatch: users did not arrive in the split's proportions.")
    if ratio["pValue"] is None:
        return RatioBanner("info", "balance", "The sample ratio cannot be tested yet.")
    if ratio["warning"]:
        return RatioBanner(
            "warn", "warning", "The sample ratio is off over the whole window; the sequential check decides."
        )
    if any(day["warning"] for day in ratio["daily"]):
        return RatioBanner(
            "warn", "warning", "The sample ratio was off on single days, and is fine over the whole window."
        )
    if ratio["alarm"]:
        return RatioBanner(
            "warn", "warning", "The sequential check of the sample ratio has rung, and the overall test is quiet."
        )
    return RatioBanner("good", "balance", "Sample ratio over the whole window: fine.")


def _shown(row: ComparisonResult, method: str) -> Shown:
    # Older stored results have no figures of the look.
    at_look = row.get("lookLift") is not None
    interval = row.get("lookCi") if at_look else (row["sequentialCi"] or row["ci"])
    others = [NamedInterval("All users so far, as if looked at once", row["absoluteLift"], row["ci"])]
    if row["sequentialCi"] is not None and row["sequentialCi"] != interval:
        name = "This look alone, before earlier looks narrow it"
        others.append(NamedInterval(name, row.get("lookLift"), row["sequentialCi"]))
    others.append(NamedInterval("The lift, as if looked at once", row["relativeLift"], row["relativeCi"], is_lift=True))
    is_of_lift = row["credibleIntervalOf"] == RELATIVE
    posterior = row["relativeLift"] if is_of_lift else row["absoluteLift"]
    others.append(NamedInterval(_credible(row), posterior, row["credibleInterval"], is_lift=is_of_lift))
    if at_look:
        return Shown(row["lookLift"], row["lookRelativeLift"], interval, others)
    # Before the one look of a fixed horizon no interval decides.
    undecided = None if method == Experiment.Method.FIXED else interval
    return Shown(row["absoluteLift"], row["relativeLift"], undecided, others)


def _credible(row: ComparisonResult) -> str:
    prior = row.get("prior")
    if prior is None or prior["standardDeviation"] is None:
        return "Credible interval, flat prior" if prior else "Credible interval"
    weight = "" if prior["weight"] is None else f", {prior['weight']:.0%} of it prior"
    return f"Credible interval, lifts expected within {prior['standardDeviation']:.0%}{weight}"
