"""Figures of a flag's users of the last days, for all variants together: for planning and for A/A checks."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import numpy as np

from analytics import selectors as events
from experiments.analysis.metric_types import per_user_type
from experiments.models import Metric
from experiments.statistics.distributions import Floats


def past_figures(
    environment_id: int,
    flag_key: str,
    metric: Metric,
    *,
    days: int,
    now: datetime,
    among: AbstractSet[str] | None = None,
) -> Floats | None:
    """One figure for each user who saw the flag, counted from the first exposure in that time, without bots.

    `among` leaves all others out. None for a metric whose figure is no mean over users. Memory and time grow with the
    users and their events.
    """
    kind = per_user_type(metric)
    if kind is None:
        return None
    since = now - timedelta(days=days)
    seen = events.flag_units(environment_id, flag_key, since, now)
    first_seen = {unit: at for unit, at in seen if among is None or unit in among}
    sums, counts = dict.fromkeys(first_seen, 0.0), dict.fromkeys(first_seen, 0.0)
    rows = events.events(environment_id, metric.event_name, since, now, value_property=metric.value_property)
    for unit_id, at, _, value in rows:
        first = first_seen.get(unit_id)
        if first is None or not first <= at < first + kind.window:
            continue
        sums[unit_id] += value or 0.0
        counts[unit_id] += 1.0
    found = kind.user_figures(_array(sums), _array(counts))
    return found if metric.cap is None else np.minimum(found, metric.cap)


def _array(figures: dict[str, float]) -> Floats:
    return np.fromiter(figures.values(), dtype=np.float64, count=len(figures))
