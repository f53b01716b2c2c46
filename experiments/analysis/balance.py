"""Whether the arms were alike before the start: a difference then is a fault of the split or of the data.

The check is read at every look, so it is a confidence sequence: over all looks and comparisons together it raises an
alarm in at most 1 % of healthy experiments.
"""

from collections.abc import Mapping, Sequence

from experiments.analysis.looks import tuned_users
from experiments.analysis.metric_types import metric_type
from experiments.analysis.metric_types.base import paired_moments
from experiments.analysis.window_data import WindowData
from experiments.decisions.evidence import DataCheck
from experiments.models import Metric
from experiments.payloads import ComparisonResult, PrePeriod
from experiments.statistics import balance as statistics
from experiments.statistics.summaries import Moments

# By metric and variant.
Balances = Mapping[tuple[str, str], PrePeriod]


def pre_period_balance(
    data: WindowData, metrics: Sequence[Metric], variants: Sequence[str], *, control: str
) -> Balances:
    """Each metric in the 14 days before each user's first exposure, each variant against the control."""
    pairs = [(metric, key) for metric in metrics for key in variants if key != control]
    before: dict[str, dict[str, Moments]] = {}
    for metric in metrics:
        sums = data.pairs(metric_type(metric).pre_period_pairing(data), data.window.until)
        before[metric.key] = {key: paired_moments(sums.get(key)).x for key in variants}
    tuned = tuned_users(data.window.phase)
    balances: dict[tuple[str, str], PrePeriod] = {}
    for metric, key in pairs:
        arms = before[metric.key][control], before[metric.key][key]
        found = statistics.pre_period_balance(*arms, tuned, max(1, len(pairs)))
        balances[metric.key, key] = {
            "control": arms[0].mean if arms[0].n else None,
            "treatment": arms[1].mean if arms[1].n else None,
            "standardErrors": found.standard_errors,
            "balanced": found.is_balanced,
        }
    return balances


def balance_checks(comparisons: Sequence[ComparisonResult], balances: Balances) -> list[DataCheck]:
    """What blocks a verdict: arms that were apart before the start, in the primary metric; else a caveat."""
    checks = []
    for item in comparisons:
        found = balances.get((item["metric"], item["variant"]))
        if found is None or found["balanced"] is not False or found["standardErrors"] is None:
            continue
        text = (
            f"{item['variant']} and {item['control']} were apart in {item['metric']} before the start, by "
            f"{abs(found['standardErrors']):.1f} standard errors ({found['treatment']:.4g} against "
            f"{found['control']:.4g} in the 14 days before)."
        )
        checks.append(DataCheck("pre_period", text, is_blocking=item["role"] == "primary"))
    return checks
