"""A quantile of the values of single events, with the sums that measure how alike the events of one user are."""

from collections.abc import Sequence

import numpy as np

from analytics.selectors import Rows
from experiments.statistics.distributions import Floats
from experiments.statistics.quantiles import QuantileSummary, probe_levels
from experiments.statistics.summaries import PairedMoments

_NONE = QuantileSummary(0, 0.0, 0.0, 0.0)


def quantile_of_rows(rows: Rows | None, level: float) -> QuantileSummary:
    """From the store's distribution of events; None is a variant without users."""
    if rows is None or not rows.size:
        return _NONE
    n, estimate, low, high = _quantiles(np.repeat(rows["value"], rows["events"]), level)
    upto = rows["value"] <= estimate
    users, every, every_squared = (int(rows[name].sum()) for name in ("units", "events", "products"))
    at_most, squared, crossed = (int(rows[name][upto].sum()) for name in ("events", "squares", "products"))
    clusters = PairedMoments(
        users,
        at_most / users,
        every / users,
        (users * squared - at_most**2) / users,
        (users * every_squared - every**2) / users,
        (users * crossed - at_most * every) / users,
    )
    return QuantileSummary(n, estimate, low, high, clusters)


def quantile_of_units(event_values: Sequence[tuple[int, float]], level: float) -> QuantileSummary:
    """From each event's value, with the row of its unit."""
    if not event_values:
        return _NONE
    values = np.array([value for _, value in event_values])
    n, estimate, low, high = _quantiles(values, level)
    present, rows = np.unique(np.array([row for row, _ in event_values]), return_inverse=True)
    at_most = np.bincount(rows[values <= estimate], minlength=present.size).astype(np.float64)
    every = np.bincount(rows, minlength=present.size).astype(np.float64)
    return QuantileSummary(n, estimate, low, high, PairedMoments.from_values(at_most, every))


def _quantiles(values: Floats, level: float) -> tuple[int, float, float, float]:
    low, high = probe_levels(values.size, level)
    estimate, q_low, q_high = (float(np.quantile(values, at)) for at in (level, low, high))
    return values.size, estimate, q_low, q_high
