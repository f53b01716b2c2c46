"""The known-answer cases' names mapped to the public statistics; no logic of its own."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from experiments.statistics import (
    always_valid,
    bayes,
    cuped,
    event_reference,
    group_sequential,
    guardrails,
    means,
    multiplicity,
    proportions,
    quantiles,
    ratios,
    srm,
    winsorising,
)
from experiments.statistics import power as planning
from experiments.statistics.summaries import Moments, PairedMoments, Proportion

Sums = Mapping[str, float]

Case = dict[str, Any]


def _plain(result: Any) -> Case:
    """A result as the cases write it: a dict, tuples as lists."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _arms(x_c: float, n_c: float, x_t: float, n_t: float) -> tuple[Proportion, Proportion]:
    return Proportion(x_c, n_c), Proportion(x_t, n_t)


def srm_test(counts: list[float], weights: list[float]) -> Case:
    return _plain(srm.srm_test(counts, weights))


def srm_daily(daily_counts: list[list[float]], weights: list[float]) -> Case:
    return _plain(srm.srm_daily(daily_counts, weights))


def srm_sequential(
    daily_counts: list[list[float]], weights: list[float], concentration: float = srm.CONCENTRATION
) -> Case:
    return _plain(srm.srm_sequential(daily_counts, weights, concentration))


def prop_test(x_c: float, n_c: float, x_t: float, n_t: float) -> Case:
    return _plain(proportions.proportion_test(*_arms(x_c, n_c, x_t, n_t)))


def prop_ci(*, x_c: float, n_c: float, x_t: float, n_t: float, alpha: float = 0.05, method: str = "auto") -> Case:
    return _plain(proportions.proportion_interval(*_arms(x_c, n_c, x_t, n_t), alpha=alpha, method=method))


def prop_rel_ci(*, x_c: float, n_c: float, x_t: float, n_t: float, alpha: float = 0.05, method: str = "auto") -> Case:
    return _plain(proportions.proportion_lift(*_arms(x_c, n_c, x_t, n_t), alpha=alpha, method=method))


def adjust_pvalues(p_values: list[float | None], method: str) -> Case:
    return {"adjusted": list(multiplicity.adjust(p_values, method))}


def _moments(sums: Sums) -> Moments:
    return Moments.from_sums(sums["n"], sums["sum"], sums["sumsq"])


def welch_test(control: Sums, treatment: Sums, alpha: float = 0.05) -> Case:
    return _plain(means.welch_test(_moments(control), _moments(treatment), alpha))


def welch_values(control: list[float], treatment: list[float], alpha: float = 0.05) -> Case:
    return _plain(means.welch_test(Moments.from_values(control), Moments.from_values(treatment), alpha))


def mean_rel_ci(control: Sums, treatment: Sums, alpha: float = 0.05) -> Case:
    return _plain(means.mean_lift(_moments(control), _moments(treatment), alpha, method="delta"))


def ratio_test(control: Sums, treatment: Sums, alpha: float = 0.05) -> Case:
    return _plain(ratios.ratio_test(PairedMoments.from_sums(**control), PairedMoments.from_sums(**treatment), alpha))


def cuped_test(control: Sums, treatment: Sums, alpha: float = 0.05) -> Case:
    return _plain(cuped.cuped_test(PairedMoments.from_sums(**control), PairedMoments.from_sums(**treatment), alpha))


def gs_bounds(
    info_fractions: list[float], alpha: float = 0.05, sides: int = 2, spending: str = "obf", param: float = 1.0
) -> Case:
    return _plain(group_sequential.boundaries(info_fractions, alpha, sides, spending, param))


def gs_constant(looks: int, alpha: float = 0.05, kind: str = "pocock") -> Case:
    return _plain(group_sequential.classical_boundaries(looks, alpha, kind))


def gs_crossing(z_bounds: list[float], info_fractions: list[float], drift: float = 0.0, sides: int = 2) -> Case:
    return {"cum_prob": list(group_sequential.crossing_probabilities(z_bounds, info_fractions, drift, sides))}


def gs_inflation(looks: int, alpha: float = 0.05, power: float = 0.8, kind: str = "pocock") -> Case:
    return {"inflation": group_sequential.inflation_factor(looks, alpha, power, kind)}


def msprt(diff: float, var_diff: float, tau2: float, alpha: float = 0.05) -> Case:
    return _plain(always_valid.msprt(diff, var_diff, tau2, alpha))


def asymp_cs(*, estimate: float, se: float, n: float, n_tune: float, alpha: float = 0.05, sides: int = 2) -> Case:
    return _plain(always_valid.asymptotic_sequence(estimate, se, n, n_tune, alpha=alpha, sides=sides))


def bayes_prop(
    *,
    x_c: float,
    n_c: float,
    x_t: float,
    n_t: float,
    prior_a: float = 1.0,
    prior_b: float = 1.0,
    alpha: float = 0.05,
) -> Case:
    return _plain(bayes.proportion_posterior(*_arms(x_c, n_c, x_t, n_t), prior_a, prior_b, alpha))


def bayes_normal(
    diff: float, se: float, prior_mean: float = 0.0, prior_var: float | None = None, alpha: float = 0.05
) -> Case:
    return _plain(bayes.normal_posterior(diff, se, prior_mean, prior_var, alpha))


def sample_size_prop(
    p_control: float, p_treatment: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> Case:
    return _plain(planning.sample_size_proportions(p_control, p_treatment, alpha, power, ratio))


def sample_size_mean(sd: float, mde: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> Case:
    return _plain(planning.sample_size_means(sd, mde, alpha, power, ratio))


def mde_prop(p_control: float, n_control: float, n_treatment: float, alpha: float = 0.05, power: float = 0.8) -> Case:
    return _plain(planning.detectable_proportion(p_control, n_control, n_treatment, alpha, power))


def mde_mean(sd: float, n_control: float, n_treatment: float, alpha: float = 0.05, power: float = 0.8) -> Case:
    return _plain(planning.detectable_mean(sd, n_control, n_treatment, alpha, power))


def power_prop(p_control: float, p_treatment: float, n_control: float, n_treatment: float, alpha: float = 0.05) -> Case:
    return _plain(planning.power_proportions(p_control, p_treatment, n_control, n_treatment, alpha))


def power_mean(sd: float, mde: float, n_control: float, n_treatment: float, alpha: float = 0.05) -> Case:
    return _plain(planning.power_means(sd, mde, n_control, n_treatment, alpha))


def _judgement(result: guardrails.NonInferiority, effect: str, statistic: str) -> Case:
    """The cases call the effect diff or lift and the statistic t or z; a result has one name for each."""
    return {effect: result.diff, statistic: result.statistic, **_plain(result)}


def noninferiority_mean(
    control: Sums, treatment: Sums, margin: float, higher_is_better: bool, alpha: float = 0.05
) -> Case:
    arms = _moments(control), _moments(treatment)
    result = guardrails.noninferiority_mean(*arms, margin, higher_is_better=higher_is_better, alpha=alpha)
    return _judgement(result, "diff", "t")


def noninferiority_prop(
    *, x_c: float, n_c: float, x_t: float, n_t: float, margin: float, higher_is_better: bool, alpha: float = 0.05
) -> Case:
    arms = _arms(x_c, n_c, x_t, n_t)
    result = guardrails.noninferiority_proportion(*arms, margin, higher_is_better=higher_is_better, alpha=alpha)
    return _judgement(result, "diff", "z")


def noninferiority_rel(
    control: Sums, treatment: Sums, margin_rel: float, higher_is_better: bool, alpha: float = 0.05
) -> Case:
    arms = _moments(control), _moments(treatment)
    result = guardrails.noninferiority_lift(*arms, margin_rel, higher_is_better=higher_is_better, alpha=alpha)
    return _judgement(result, "lift", "t")


def quantile_ci(values: list[float], q: float, alpha: float = 0.05) -> Case:
    return _plain(quantiles.quantile_interval(values, q, alpha))


def _quantile_arm(sums: Sums) -> quantiles.QuantileSummary:
    users = None
    if "n_clusters" in sums:
        users = PairedMoments.from_sums(
            n=sums["n_clusters"],
            sum_y=sums["sum_s"],
            sum_x=sums["sum_n"],
            sum_yy=sums["sum_ss"],
            sum_xx=sums["sum_nn"],
            sum_xy=sums["sum_sn"],
        )
    return quantiles.QuantileSummary(sums["n"], sums["q_hat"], sums["q_low"], sums["q_high"], users)


def quantile_diff(control: Sums, treatment: Sums, q: float, alpha: float = 0.05) -> Case:
    return _plain(quantiles.quantile_test(_quantile_arm(control), _quantile_arm(treatment), q, alpha))


def winsorize(
    control: list[float],
    treatment: list[float],
    upper_q: float | None = None,
    lower_q: float | None = None,
    ignore_zeros: bool = False,
) -> Case:
    result = winsorising.winsorise([control, treatment], upper_q, lower_q, ignore_zeros=ignore_zeros)
    case: Case = {"cap_low": result.cap_low, "cap_high": result.cap_high, "reason": result.reason}
    for name, arm in zip(("control", "treatment"), result.arms, strict=True):
        case |= {f"sum_{name}": arm.total, f"sumsq_{name}": arm.squares, f"n_capped_{name}": arm.n_capped}
    return case


def analyze_events(
    *,
    exposures: list[list[str]],
    conversions: list[list[Any]],
    start: str,
    end: str,
    late_days: float = 7,
    window_days: float | None = 7,
    bots: list[str] | None = None,
    variants: tuple[str, ...] = ("control", "treatment"),
    weights: tuple[float, ...] = (0.5, 0.5),
) -> Case:
    at = datetime.fromisoformat
    phase = event_reference.ReferencePhase(
        start=at(start),
        end=at(end),
        variants=tuple(variants),
        weights=tuple(weights),
        window=None if window_days is None else timedelta(days=window_days),
        late=timedelta(days=late_days),
    )
    result = event_reference.analyse_phase(
        (event_reference.ReferenceExposure(user, variant, at(time)) for user, variant, time in exposures),
        (
            event_reference.ReferenceConversion(event_id, user, at(time), value, at(received))
            for event_id, user, time, value, received in conversions
        ),
        phase,
        frozenset(bots or ()),
    )
    return {
        "n": [arm.n for arm in result.arms],
        "converted": [arm.converted for arm in result.arms],
        "sum": [arm.total for arm in result.arms],
        "sumsq": [arm.squares for arm in result.arms],
        "n_crossover": result.crossovers.n,
        "n_bots": result.n_bots,
        "srm_p": result.srm.p_value,
    }


ADAPTER: Mapping[str, Callable[..., Case]] = {
    "adjust_pvalues": adjust_pvalues,
    "analyze_events": analyze_events,
    "asymp_cs": asymp_cs,
    "bayes_normal": bayes_normal,
    "bayes_prop": bayes_prop,
    "cuped_test": cuped_test,
    "gs_bounds": gs_bounds,
    "gs_constant": gs_constant,
    "gs_crossing": gs_crossing,
    "gs_inflation": gs_inflation,
    "mde_mean": mde_mean,
    "mde_prop": mde_prop,
    "mean_rel_ci": mean_rel_ci,
    "msprt": msprt,
    "noninferiority_mean": noninferiority_mean,
    "noninferiority_prop": noninferiority_prop,
    "noninferiority_rel": noninferiority_rel,
    "power_mean": power_mean,
    "power_prop": power_prop,
    "prop_ci": prop_ci,
    "prop_rel_ci": prop_rel_ci,
    "prop_test": prop_test,
    "quantile_ci": quantile_ci,
    "quantile_diff": quantile_diff,
    "ratio_test": ratio_test,
    "sample_size_mean": sample_size_mean,
    "sample_size_prop": sample_size_prop,
    "srm_daily": srm_daily,
    "srm_sequential": srm_sequential,
    "srm_test": srm_test,
    "welch_test": welch_test,
    "welch_values": welch_values,
    "winsorize": winsorize,
}
