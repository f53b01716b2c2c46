"""A flag's users of the last days with what each did, whatever variant it got: for planning, and for A/A checks."""

from datetime import datetime, timedelta

import numpy as np

from analytics import selectors as events
from experiments.analysis.measures import window_of_metric
from experiments.models import Metric
from experiments.statistics.distributions import Floats


def figures_of(environment_id: int, flag_key: str, metric: Metric, *, days: int, now: datetime) -> Floats:
    """One figure for each user who saw the flag, from its first exposure in the time on; bots are left out.

    For binary, count and continuous metrics. Memory and time grow with the users and their events.
    """
    since, window = now - timedelta(days=days), window_of_metric(metric)
    seen = dict(events.flag_units(environment_id, flag_key, since, now))
    totals = dict.fromkeys(seen, 0.0)
    rows = events.events(environment_id, metric.event_name, since, now, value_property=metric.value_property)
    for unit_id, at, _, value in rows:
        first = seen.get(unit_id)
        if first is None or not first <= at < first + window:
            continue
        if metric.type == Metric.Type.BINARY:
            totals[unit_id] = 1.0
        else:
            totals[unit_id] += (value or 0.0) if metric.type == Metric.Type.CONTINUOUS else 1.0
    found = np.fromiter(totals.values(), dtype=np.float64, count=len(totals))
    return found if metric.cap is None else np.minimum(found, metric.cap)
