"""Corrections for several tests at once.

Holm over the primary metric's arms (any false claim), Benjamini-Hochberg over secondary metrics (share of false
claims); guardrails are never corrected, since a correction there would make harm harder to see.
"""

from collections.abc import Sequence

from experiments.statistics.distributions import require_alpha

Adjusted = tuple[float | None, ...]


def _ranked(p_values: Sequence[float | None]) -> list[tuple[float, int]]:
    for p_value in p_values:
        if p_value is not None and not 0 <= p_value <= 1:
            raise ValueError(f"a p-value lies between 0 and 1, got {p_value}")
    return sorted((p_value, position) for position, p_value in enumerate(p_values) if p_value is not None)


def holm(p_values: Sequence[float | None]) -> Adjusted:
    """Step-down adjusted p-values, in input order: the chance of any false claim stays below alpha.

    p~(i) = max over j <= i of min(1, (m - j + 1) p(j)), m the number of defined p-values. None stays None and does not
    count as a question asked. Valid under any dependence. Source: Holm 1979, Scand. J. Statist. 6, 65-70.
    """
    ranked = _ranked(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, position) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p_value))
        adjusted[position] = largest
    return tuple(adjusted)


def benjamini_hochberg(p_values: Sequence[float | None]) -> Adjusted:
    """Step-up adjusted p-values, in input order: the expected share of false claims among all claims stays below alpha.

    p~(i) = min over j >= i of min(1, m p(j) / j), m the number of defined p-values; None stays None. Valid for
    independent or positively dependent questions. Source: Benjamini and Hochberg 1995, JRSS B 57, 289-300.
    """
    ranked = _ranked(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank in range(len(ranked), 0, -1):
        p_value, position = ranked[rank - 1]
        smallest = min(smallest, p_value * len(ranked) / rank)
        adjusted[position] = smallest
    return tuple(adjusted)


def adjust(p_values: Sequence[float | None], method: str) -> Adjusted:
    """Adjusted p-values by name, `holm` or `bh`."""
    if method == "holm":
        return holm(p_values)
    if method == "bh":
        return benjamini_hochberg(p_values)
    raise ValueError(f"unknown correction {method!r}: holm or bh")


def interval_alpha(p_values: Sequence[float | None], method: str, alpha: float = 0.05) -> float:
    """The alpha at which to draw intervals beside corrected p-values, so that together they keep the same promise.

    holm: alpha / m (Bonferroni, simultaneous coverage; slightly wider than the test needs). bh: alpha R / m with R the
    number of claims made, the false coverage rate of the claimed intervals (Benjamini and Yekutieli 2005, JASA 100,
    71-81); with no claim, alpha / m.
    """
    require_alpha(alpha)
    questions = sum(p_value is not None for p_value in p_values)
    if questions == 0:
        return alpha
    if method == "holm":
        return alpha / questions
    claims = sum(p_value is not None and p_value <= alpha for p_value in adjust(p_values, method))
    return alpha * max(1, claims) / questions
