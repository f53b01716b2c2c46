"""The effect of leaving users out: bots on the sample ratio, users of several variants on the figures."""

from collections import Counter
from collections.abc import Sequence

from analytics.selectors import ExposureSummary, bots_first_seen
from experiments.analysis.metric_types import metric_type
from experiments.analysis.sample_ratio import SampleRatio
from experiments.analysis.window_data import WindowData
from experiments.decisions.evidence import DataCheck
from experiments.payloads import ComparisonResult, FirstVariantComparison, RatioWithBots
from experiments.statistics.srm import GATE_ALPHA, srm_test

_NOT_ALL_HERE = "not all of the bots' raw events are here any more"


def ratio_with_bots(data: WindowData, exposures: ExposureSummary) -> RatioWithBots:
    """The overall sample ratio with bots included. Each bot counts in the variant that it saw first.

    Figures are null, with a `reason`, where raw events have been dropped that the counts rest on.
    """
    weights = data.window.phase.weights
    bots = _bots_by_first_variant(data) if exposures.bots else Counter()
    # Bots first seen during a pause are not enrolled, so then there are fewer than the store counts.
    if sum(bots.values()) != exposures.bots and not data.pauses:
        return {"observed": None, "chiSquare": None, "pValue": None, "warning": None, "reason": _NOT_ALL_HERE}
    observed = {key: exposures.users.get(key, 0) + bots[key] for key in weights}
    found = srm_test(list(observed.values()), [float(weight) for weight in weights.values()])
    return {
        "observed": observed,
        "chiSquare": found.chi2,
        "pValue": found.p_value,
        "warning": found.p_value is not None and found.p_value < GATE_ALPHA,
        "reason": found.reason,
    }


def bot_caveats(before: RatioWithBots, ratio: SampleRatio) -> list[str]:
    """Caveats where the bots decide the verdict on the split: bots prefer a variant, or the bot rules do."""
    if before["warning"] is None or before["warning"] == ratio.is_warning:
        return []
    if ratio.is_warning:
        return [
            "The sample ratio is fine with the bots and wrong without them: look whether the bot rules catch users "
            "of one variant more than of another."
        ]
    return ["The sample ratio is wrong with the bots and fine without them: bots did not arrive in the split's shares."]


def by_first_variant(
    data: WindowData, variants: Sequence[str], ratio: SampleRatio
) -> list[FirstVariantComparison] | None:
    """The primary metric with crossovers kept in the variant they saw first (intention to treat); unadjusted.

    None up to 1 % of crossovers, where leaving them out changes nothing worth a second reading.
    """
    if not ratio.payload["crossovers"]["warning"]:
        return None
    experiment = data.experiment
    metric, control = data.plan.primary, experiment.control_variant
    kind = metric_type(metric)
    arms = kind.measure(data.by_first_variant(), variants).arms
    rows: list[FirstVariantComparison] = []
    for key in variants:
        if key == control:
            continue
        found = kind.effect(arms[control], arms[key], experiment.alpha)
        rows.append(
            {
                "metric": metric.key,
                "variant": key,
                "control": control,
                "users": {name: arms[name].users for name in (control, key)},
                "absoluteLift": found.diff,
                "relativeLift": found.lift,
                "ci": found.ci,
                "relativeCi": found.lift_ci,
                "pValue": found.p_value,
                "reasons": found.reasons,
                "liftOf": found.of,
            }
        )
    return rows


def crossover_checks(
    ratio: SampleRatio,
    comparisons: Sequence[ComparisonResult],
    by_first_variant: Sequence[FirstVariantComparison] | None,
) -> list[DataCheck]:
    """What blocks a verdict: crossovers of one variant above all, or a result that changes when they are kept in."""
    crossovers = ratio.payload["crossovers"]
    if by_first_variant is None:
        return []
    share = f"{crossovers['share']:.1%} of users saw more than one variant"
    checks = []
    if crossovers["pValue"] is not None and crossovers["pValue"] < GATE_ALPHA:
        checks.append(DataCheck("crossovers", f"{share}, and more of them saw one variant first than the split gives."))
    primary = {item["variant"]: item for item in comparisons if item["role"] == "primary"}
    for row in by_first_variant:
        item, ci = primary[row["variant"]], row["ci"]
        if not item["significant"] or item["lookLift"] is None or ci is None:
            continue
        agrees = ci[0] > 0 if item["lookLift"] > 0 else ci[1] < 0
        if not agrees:
            text = f"{share}. Kept in the variant they saw first, they make the result of {row['variant']} disappear."
            checks.append(DataCheck("crossovers", text))
    return checks


def _bots_by_first_variant(data: WindowData) -> Counter[str]:
    """Units whose exposures in the window are all flagged, by the variant that they saw first."""
    return Counter(bots_first_seen(data.period()))
