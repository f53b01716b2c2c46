"""Sample ratio mismatch: tests whether users arrived in the proportions of the split.

A user counts once, on the day of first exposure. The overall test is a gate, computed once when results freeze. While
an experiment runs, only `srm_monitor` raises an alarm: daily p-values would raise a false one in one experiment of
eight.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from experiments.statistics.distributions import Floats, chi2_sf, finite_floats
from experiments.statistics.multiplicity import Adjusted, holm

GATE_ALPHA = 0.01
DAILY_ALPHA = 0.005
EVIDENCE_LIMIT = 200.0
CONCENTRATION = 2500.0
SMALLEST_EXPECTED_CELL = 5.0
# Above this share of users with several variants, leaving them out can bias a result.
CROSSOVER_WARNING_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class SrmTest:
    chi2: float | None
    df: int
    p_value: float | None
    unexpected_users: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SrmDaily:
    p_days: Adjusted
    p_days_holm: Adjusted
    p_min_holm: float | None
    p_overall: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SrmSequential:
    """Natural logarithm of the e-value at each day's end, and the running always-valid p-value."""

    log_bf: tuple[float, ...]
    p_values: tuple[float, ...]
    unexpected_users: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SrmMonitor:
    """Alarms raised while the experiment runs; a day is its position in the given counts, from 0."""

    is_alarming: bool
    first_evidence_day: int | None
    daily_alarms: tuple[int, ...]
    sequential: SrmSequential
    daily: SrmDaily


def _shares(weights: Sequence[float]) -> list[float]:
    if not weights or any(weight < 0 or not math.isfinite(weight) for weight in weights) or sum(weights) <= 0:
        raise ValueError(f"weights must be finite and not negative, with one above 0, got {list(weights)}")
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _require_counts(counts: Sequence[float], arms: int) -> None:
    if len(counts) != arms or not all(0 <= count < math.inf for count in counts):
        raise ValueError(f"expected {arms} counts of users, finite and none negative, got {list(counts)}")


def srm_test(counts: Sequence[float], weights: Sequence[float]) -> SrmTest:
    """Pearson's chi-squared test of users per arm against the promised weights (any scale).

    X^2 = sum (O - E)^2 / E over arms with weight, df = those arms - 1, p from the survival function, no continuity
    correction. An empty arm with weight stays in; users in an arm without weight are left out and returned as
    `unexpected_users`, an alarm of their own. Source: Pearson 1900; Fabijan et al. 2019 (KDD) for its use here.
    """
    shares = _shares(weights)
    _require_counts(counts, len(shares))
    expected_arms = [(count, share) for count, share in zip(counts, shares, strict=True) if share > 0]
    unexpected = float(sum(count for count, share in zip(counts, shares, strict=True) if share == 0))
    users = math.fsum(count for count, _ in expected_arms)
    df = len(expected_arms) - 1
    if df == 0:
        return SrmTest(None, df, None, unexpected, "only one arm has weight, so there is no ratio to test")
    if users == 0:
        return SrmTest(None, df, None, unexpected, "no users yet")
    chi2 = math.fsum((count - users * share) ** 2 / (users * share) for count, share in expected_arms)
    return SrmTest(chi2, df, chi2_sf(chi2, df), unexpected)


def srm_daily(daily_counts: Sequence[Sequence[float]], weights: Sequence[float]) -> SrmDaily:
    """The chi-squared test day by day, with Holm's correction over days, and over all days together.

    Days where an arm with weight expects fewer than 5 users are skipped: None, not counted as a question, though their
    users are in `p_overall`. The raw p-values are for looking at; nothing alarms on them.
    """
    shares = _shares(weights)
    smallest = min(share for share in shares if share > 0)
    totals = [0.0] * len(shares)
    raw: list[float | None] = []
    for counts in daily_counts:
        _require_counts(counts, len(shares))
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        users = sum(count for count, share in zip(counts, shares, strict=True) if share > 0)
        raw.append(srm_test(counts, shares).p_value if users * smallest >= SMALLEST_EXPECTED_CELL else None)
    adjusted = holm(raw)
    overall = srm_test(totals, shares)
    smallest_adjusted = min((p_value for p_value in adjusted if p_value is not None), default=None)
    reason = overall.reason
    if reason is None and smallest_adjusted is None:
        reason = "no day has enough users to be tested by itself"
    return SrmDaily(tuple(raw), adjusted, smallest_adjusted, overall.p_value, reason)


def srm_sequential(
    daily_counts: Sequence[Sequence[float]], weights: Sequence[float], concentration: float = CONCENTRATION
) -> SrmSequential:
    """An e-process for the split, valid at every look and at any stopping time.

    Bayes factor of "some other split" (Dirichlet prior, parameters a_i = concentration * weight_i) against the promised
    split w, after each day, with S_i users so far and S their sum:
    log BF = log G(c) - log G(c + S) + sum [log G(a_i + S_i) - log G(a_i) - S_i log w_i], G the gamma function.
    By Ville's inequality P(BF ever reaches 1 / alpha) <= alpha on a healthy split; p = running min of 1 / BF.
    Users in an arm without weight are left out and returned as `unexpected_users`.
    Source: Lindon and Malek 2022, Anytime-valid inference for multinomial count data (NeurIPS).
    """
    if not 0 < concentration < math.inf:
        raise ValueError(f"concentration must be above 0, got {concentration}")
    shares = np.array(_shares(weights))
    counts = finite_floats(daily_counts).reshape(-1, shares.size)
    if counts.size and counts.min() < 0:
        raise ValueError("a count of users cannot be negative")
    weighted = shares > 0
    unexpected = float(counts[:, ~weighted].sum())
    if np.count_nonzero(weighted) == 1:
        return SrmSequential((), (), unexpected, "only one arm has weight, so there is no ratio to test")
    log_bf = log_bayes_factors(counts[:, weighted].cumsum(axis=0), shares[weighted], concentration)
    p_values = np.minimum.accumulate(np.exp(np.minimum(0.0, -log_bf)))
    return SrmSequential(tuple(log_bf.tolist()), tuple(p_values.tolist()), unexpected)


def log_bayes_factors(running: Floats, shares: Floats, concentration: float) -> Floats:
    """`srm_sequential`'s log BF for running counts of shape (..., arms), all shares above 0; vectorised."""
    prior = concentration * shares
    users = running.sum(axis=-1)
    result: Floats = (
        scipy.special.gammaln(concentration)
        - scipy.special.gammaln(concentration + users)
        + (scipy.special.gammaln(prior + running) - scipy.special.gammaln(prior) - running * np.log(shares)).sum(
            axis=-1
        )
    )
    return result


def day_budget(position: int, planned_days: int, alpha: float = DAILY_ALPHA) -> float:
    """The p-value below which the day at `position` (from 0) alarms, fixed before any data.

    alpha / planned days within the plan (Bonferroni, what Holm asks of the smallest p-value); past the plan
    alpha / (k (k + 1)) for the k-th day. The sum over all days, for ever, is alpha (1 + 1 / (planned days + 1)).
    Holm over the days seen so far would not do: re-read daily it spends alpha (1 + 1/2 + ... + 1/k).
    """
    day = position + 1
    return alpha / planned_days if day <= planned_days else alpha / (day * (day + 1))


def srm_monitor(
    daily_counts: Sequence[Sequence[float]], weights: Sequence[float], planned_days: int = 14
) -> SrmMonitor:
    """What may alarm while an experiment runs, at most one look per day: the e-process at e >= 200, or one bad day.

    On a healthy split the e-process alarms ever with probability at most 1/200, the days together at most 0.54 % for a
    14-day plan. The last day should be complete: a day's count is read once.
    """
    if planned_days < 1:
        raise ValueError(f"planned_days must be at least 1, got {planned_days}")
    sequential = srm_sequential(daily_counts, weights)
    daily = srm_daily(daily_counts, weights)
    limit = math.log(EVIDENCE_LIMIT)
    evidence = next((day for day, log_bf in enumerate(sequential.log_bf) if log_bf >= limit), None)
    alarms = tuple(
        day
        for day, p_value in enumerate(daily.p_days)
        if p_value is not None and p_value < day_budget(day, planned_days)
    )
    return SrmMonitor(evidence is not None or bool(alarms), evidence, alarms, sequential, daily)
