"""The known-answer cases' names mapped to the public statistics; no logic of its own."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from experiments.statistics import multiplicity, proportions, srm
from experiments.statistics.summaries import Proportion

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


ADAPTER: Mapping[str, Callable[..., Case]] = {
    "srm_test": srm_test,
    "srm_daily": srm_daily,
    "srm_sequential": srm_sequential,
    "prop_test": prop_test,
    "prop_ci": prop_ci,
    "prop_rel_ci": prop_rel_ci,
    "adjust_pvalues": adjust_pvalues,
}
