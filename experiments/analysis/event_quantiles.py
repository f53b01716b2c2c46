"""Quantiles of the values of single events, with the sums that measure how alike the events of one user are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analytics.selectors import Rows
from experiments.statistics.distributions import Floats
from experiments.statistics.quantiles import QuantileSummary, Ties, probe_levels
from experiments.statistics.summaries import PairedMoments

_NONE = QuantileSummary(0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Events:
    """One variant's events. `upto` gives, per user, the events up to a value (y) beside all of them (x)."""

    values: Floats
    upto: Callable[[float], PairedMoments]


def quantiles_of_rows(found: Mapping[str, Rows | None], level: float) -> dict[str, QuantileSummary]:
    """By variant, from the store's distributions of events; None is a variant without users."""
    return _quantiles({key: _events_of_rows(rows) for key, rows in found.items()}, level)


def quantiles_of_units(found: Mapping[str, Sequence[tuple[int, float]]], level: float) -> dict[str, QuantileSummary]:
    """By variant, from each event's value with the row of its unit."""
    return _quantiles({key: _events_of_units(values) for key, values in found.items()}, level)


def _events_of_rows(rows: Rows | None) -> _Events | None:
    if rows is None or not rows.size:
        return None
    users, every, every_squared = (int(rows[name].sum()) for name in ("units", "events", "products"))

    def upto(value: float) -> PairedMoments:
        chosen = rows["value"] <= value
        at_most, squared, crossed = (int(rows[name][chosen].sum()) for name in ("events", "squares", "products"))
        return PairedMoments(
            users,
            at_most / users,
            every / users,
            (users * squared - at_most**2) / users,
            (users * every_squared - every**2) / users,
            (users * crossed - at_most * every) / users,
        )

    return _Events(np.repeat(rows["value"], rows["events"]), upto)


def _events_of_units(event_values: Sequence[tuple[int, float]]) -> _Events | None:
    if not event_values:
        return None
    values = np.array([value for _, value in event_values])
    present, rows = np.unique(np.array([row for row, _ in event_values]), return_inverse=True)
    every = np.bincount(rows, minlength=present.size).astype(np.float64)

    def upto(value: float) -> PairedMoments:
        at_most = np.bincount(rows[values <= value], minlength=present.size).astype(np.float64)
        return PairedMoments.from_values(at_most, every)

    return _Events(values, upto)


def _quantiles(found: Mapping[str, _Events | None], level: float) -> dict[str, QuantileSummary]:
    known = [events.values for events in found.values() if events is not None]
    if not known:
        return dict.fromkeys(found, _NONE)
    pooled = np.concatenate(known)
    value = float(np.quantile(pooled, level, method="inverted_cdf"))
    mass = float((pooled == value).mean())
    return {
        key: _NONE
        if events is None
        else replace(_summary(events, level), ties=Ties(value, mass, _above(events.upto(value))))
        for key, events in found.items()
    }


def _summary(events: _Events, level: float) -> QuantileSummary:
    low, high = probe_levels(events.values.size, level)
    estimate, q_low, q_high = (float(np.quantile(events.values, at)) for at in (level, low, high))
    return QuantileSummary(events.values.size, estimate, q_low, q_high, events.upto(estimate))


def _above(upto: PairedMoments) -> PairedMoments:
    """The same with the events above in place of those up to the value: what is left of all."""
    return PairedMoments(
        upto.n,
        upto.mean_x - upto.mean_y,
        upto.mean_x,
        max(0.0, upto.m2_x - 2 * upto.c_xy + upto.m2_y),
        upto.m2_x,
        upto.m2_x - upto.c_xy,
    )
