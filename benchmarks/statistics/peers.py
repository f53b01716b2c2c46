"""The same figures from gbstats, statsmodels, tea-tasting and spotify-confidence.

Reads cases as JSON on stdin, answers on stdout.

Runs in an environment of its own (they pin other numpy and pandas versions); `python -m benchmarks.statistics --peers`
makes that environment and calls this.
"""

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
import tea_tasting as tea
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import (
    QuantileClusteredStatistic,
    QuantileStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)
from gbstats.utils import check_srm
from spotify_confidence import StudentsTTest, ZTest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportions_ztest,
    samplesize_proportions_2indep_onetail,
    test_proportions_2indep,
)
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
from tea_tasting.aggr import Aggregates

Figures = dict[str, Any]
Sums = dict[str, float]


def _mean(sums: Sums) -> SampleMeanStatistic:
    return SampleMeanStatistic(n=int(sums["n"]), sum=sums["sum"], sum_squares=sums["sumsq"])


def _sides(sums: Sums) -> tuple[SampleMeanStatistic, SampleMeanStatistic]:
    n = int(sums["n"])
    return (
        SampleMeanStatistic(n=n, sum=sums["sum_y"], sum_squares=sums["sum_yy"]),
        SampleMeanStatistic(n=n, sum=sums["sum_x"], sum_squares=sums["sum_xx"]),
    )


def _t_test(control: Any, treatment: Any, difference: str, alpha: float) -> Figures:
    test = TwoSidedTTest(control, treatment, FrequentistConfig(alpha=alpha, difference_type=difference))
    low, high = test.confidence_interval
    return {"effect": test.point_estimate, "p_value": test.p_value, "ci_low": low, "ci_high": high, "df": test.dof}


def _absolute(figures: Figures) -> Figures:
    return {"diff": figures["effect"]} | {name: figures[name] for name in ("p_value", "ci_low", "ci_high")}


def _relative(figures: Figures) -> Figures:
    return {"lift": figures["effect"]} | {name: figures[name] for name in ("p_value", "ci_low", "ci_high")}


def _ratio(sums: Sums) -> RatioStatistic:
    y, x = _sides(sums)
    return RatioStatistic(n=int(sums["n"]), m_statistic=y, d_statistic=x, m_d_sum_of_products=sums["sum_xy"])


def _adjusted(sums: Sums) -> RegressionAdjustedStatistic:
    y, x = _sides(sums)
    return RegressionAdjustedStatistic(
        n=int(sums["n"]), post_statistic=y, pre_statistic=x, post_pre_sum_of_products=sums["sum_xy"], theta=0
    )


def _quantile(sums: Sums, q: float) -> QuantileStatistic:
    n = int(sums["n"])
    basics = {
        "n": n,
        "n_star": n,
        "nu": q,
        "quantile_hat": sums["q_hat"],
        "quantile_lower": sums["q_low"],
        "quantile_upper": sums["q_high"],
    }
    if "n_clusters" not in sums:
        return QuantileStatistic(**basics)
    return QuantileClusteredStatistic(
        **basics,
        main_sum=sums["sum_s"],
        main_sum_squares=sums["sum_ss"],
        denominator_sum=sums["sum_n"],
        denominator_sum_squares=sums["sum_nn"],
        main_denominator_sum_product=sums["sum_sn"],
        n_clusters=int(sums["n_clusters"]),
    )


def _spread(n: float, left: float, right: float, products: float) -> float:
    return (products - left * right / n) / (n - 1)


def _aggregates(sums: Sums) -> Aggregates:
    """tea-tasting's summary of one arm: of y and x, or of y alone."""
    n = sums["n"]
    y, yy = (sums["sum"], sums["sumsq"]) if "sum" in sums else (sums["sum_y"], sums["sum_yy"])
    means, variances, covariances = {"y": y / n}, {"y": _spread(n, y, y, yy)}, {}
    if "sum_x" in sums:
        means["x"], variances["x"] = sums["sum_x"] / n, _spread(n, sums["sum_x"], sums["sum_x"], sums["sum_xx"])
        covariances["x", "y"] = _spread(n, y, sums["sum_x"], sums["sum_xy"])
    return Aggregates(count_=int(n), mean_=means, var_=variances, cov_=covariances)


def _by_tea(metric: Any, control: Sums, treatment: Sums) -> Figures:
    found = metric.analyze_aggregates(_aggregates(control), _aggregates(treatment))
    return {
        "diff": found.effect_size,
        "p_value": found.pvalue,
        "ci_low": found.effect_size_ci_lower,
        "ci_high": found.effect_size_ci_upper,
    }


def _by_spotify(test: Any, control: Sums, treatment: Sums, alpha: float) -> Figures:
    """`test` is a class of theirs, made from the arms' sums."""
    frame = pd.DataFrame([{"arm": "control", **control}, {"arm": "treatment", **treatment}])
    found = test(
        frame,
        numerator_column="sum",
        numerator_sum_squares_column="sumsq",
        denominator_column="n",
        categorical_group_columns="arm",
        interval_size=1 - alpha,
    ).difference(level_1="control", level_2="treatment")
    return {
        "diff": float(found["difference"].iloc[0]),
        "p_value": float(found["p-value"].iloc[0]),
        "ci_low": float(found["ci_lower"].iloc[0]),
        "ci_high": float(found["ci_upper"].iloc[0]),
    }


def srm_test(counts: list[float], weights: list[float]) -> dict[str, Figures]:
    arms = {index: Aggregates(count_=int(count)) for index, count in enumerate(counts)}
    ratio = tea.SampleRatio(dict(enumerate(weights)), method="norm", correction=False)
    by_tea = ratio.analyze(arms, 0, 1) if len(counts) == 2 else None
    found = {"gbstats": {"p_value": check_srm(counts, weights)}}
    return found if by_tea is None else found | {"tea-tasting": {"p_value": by_tea.pvalue}}


def prop_test(x_c: float, n_c: float, x_t: float, n_t: float) -> dict[str, Figures]:
    z, p_value = proportions_ztest([x_t, x_c], [n_t, n_c])
    return {"statsmodels": {"z": z, "p_value": p_value}}


def prop_ci(*, x_c: float, n_c: float, x_t: float, n_t: float, alpha: float, method: str) -> dict[str, Figures]:
    theirs = {"wald": "wald", "newcombe": "newcomb"}[method]
    low, high = confint_proportions_2indep(x_t, n_t, x_c, n_c, method=theirs, compare="diff", alpha=alpha)
    found = {"statsmodels": {"ci_low": low, "ci_high": high}}
    if method != "wald":
        return found
    arms = ({"n": n_c, "sum": x_c, "sumsq": x_c}, {"n": n_t, "sum": x_t, "sumsq": x_t})
    by_spotify = _by_spotify(ZTest, *arms, alpha)
    # Their p-value is that of the unpooled test, which belongs to this interval and not to our test.
    del by_spotify["p_value"]
    return found | {"spotify-confidence": by_spotify}


def prop_rel_ci(*, x_c: float, n_c: float, x_t: float, n_t: float, alpha: float, method: str) -> dict[str, Figures]:
    theirs = {"log": "log", "koopman": "score"}[method]
    low, high = confint_proportions_2indep(
        x_t, n_t, x_c, n_c, method=theirs, compare="ratio", alpha=alpha, correction=False
    )
    return {"statsmodels": {"ci_low": low - 1, "ci_high": high - 1}}


def welch_test(control: Sums, treatment: Sums, alpha: float) -> dict[str, Figures]:
    return {
        "gbstats": _absolute(_t_test(_mean(control), _mean(treatment), "absolute", alpha)),
        "tea-tasting": _by_tea(tea.Mean("y", alpha=alpha), control, treatment),
        "spotify-confidence": _by_spotify(StudentsTTest, control, treatment, alpha),
    }


def welch_values(control: list[float], treatment: list[float], alpha: float) -> dict[str, Figures]:
    means = CompareMeans(DescrStatsW(np.array(treatment)), DescrStatsW(np.array(control)))
    t, p_value, df = means.ttest_ind(usevar="unequal")
    low, high = means.tconfint_diff(alpha, usevar="unequal")
    return {"statsmodels": {"t": t, "p_value": p_value, "df": df, "ci_low": low, "ci_high": high}}


def mean_rel_ci(control: Sums, treatment: Sums, alpha: float) -> dict[str, Figures]:
    return {"gbstats": _relative(_t_test(_mean(control), _mean(treatment), "relative", alpha))}


def ratio_test(control: Sums, treatment: Sums, alpha: float) -> dict[str, Figures]:
    arms = _ratio(control), _ratio(treatment)
    lift = _t_test(*arms, "relative", alpha)
    figures = _absolute(_t_test(*arms, "absolute", alpha))
    return {
        "tea-tasting": _by_tea(tea.RatioOfMeans("y", "x", alpha=alpha), control, treatment),
        "gbstats": figures | {"lift": lift["effect"], "lift_ci_low": lift["ci_low"], "lift_ci_high": lift["ci_high"]},
    }


def cuped_test(control: Sums, treatment: Sums, alpha: float) -> dict[str, Figures]:
    return {
        "gbstats": _absolute(_t_test(_adjusted(control), _adjusted(treatment), "absolute", alpha)),
        "tea-tasting": _by_tea(tea.Mean("y", covariate="x", alpha=alpha), control, treatment),
    }


def quantile_diff(control: Sums, treatment: Sums, q: float, alpha: float) -> dict[str, Figures]:
    return {"gbstats": _absolute(_t_test(_quantile(control, q), _quantile(treatment, q), "absolute", alpha))}


def asymp_cs(control: Sums, treatment: Sums, alpha: float, n_tune: float) -> dict[str, Figures]:
    config = SequentialConfig(alpha=alpha, difference_type="absolute", sequential_tuning_parameter=n_tune)
    test = SequentialTwoSidedTTest(_mean(control), _mean(treatment), config)
    low, high = test.confidence_interval
    return {"gbstats": {"ci_low": low, "ci_high": high, "p_value": test.p_value}}


def bayes_normal(control: Sums, treatment: Sums, prior_var: float, alpha: float) -> dict[str, Figures]:
    prior = GaussianPrior(mean=0, variance=prior_var, proper=True)
    config = EffectBayesianConfig(difference_type="relative", prior_effect=prior, prior_type="relative", alpha=alpha)
    result = EffectBayesianABTest(_mean(control), _mean(treatment), config).compute_result()
    return {
        "gbstats": {
            "prob_beat": result.chance_to_win,
            "post_mean": result.expected,
            "ci_low": result.ci[0],
            "ci_high": result.ci[1],
            "loss_control": result.risk[0],
            "loss_treatment": result.risk[1],
        }
    }


def adjust_pvalues(p_values: list[float], method: str) -> dict[str, Figures]:
    theirs = {"holm": "holm", "bh": "fdr_bh"}[method]
    return {"statsmodels": {"adjusted": multipletests(p_values, method=theirs)[1].tolist()}}


def sample_size_prop(p_control: float, p_treatment: float, alpha: float, power: float) -> dict[str, Figures]:
    n = samplesize_proportions_2indep_onetail(
        p_treatment - p_control, p_control, power, ratio=1, alpha=alpha, alternative="two-sided"
    )
    return {"statsmodels": {"n_control": n}}


def power_mean(sd: float, mde: float, n_control: float, n_treatment: float, alpha: float) -> dict[str, Figures]:
    power = NormalIndPower().power(mde / sd, n_control, alpha, ratio=n_treatment / n_control)
    return {"statsmodels": {"power": power}}


def noninferiority_prop(
    *, x_c: float, n_c: float, x_t: float, n_t: float, margin: float, higher_is_better: bool, alpha: float
) -> dict[str, Figures]:
    del alpha
    test = test_proportions_2indep(
        x_t,
        n_t,
        x_c,
        n_c,
        value=-margin if higher_is_better else margin,
        method="wald",
        compare="diff",
        alternative="larger" if higher_is_better else "smaller",
    )
    return {"statsmodels": {"z": test.statistic, "p_value": test.pvalue}}


def main() -> None:
    cases = json.load(sys.stdin)
    answers = [globals()[case["method"]](**case["inputs"]) for case in cases]
    json.dump(answers, sys.stdout, default=float)


if __name__ == "__main__":
    main()
