"""Roll-ups of experiments, refreshed between one night's results and the next: a night aggregates its own days only."""

from analytics.stores import store
from analytics.stores.base import Period
from analytics.stores.protocols import Aggregate


def refresh_rollups(period: Period, aggregate: Aggregate) -> int:
    """Aggregate the period's days of first exposures that have no valid roll-up; return how many those were.

    Answers are the same with and without. With it they cost what may have changed since, not what there is. A day
    whose units may still convert has no roll-up. A breakdown commits as it goes, unless within a transaction.
    """
    return store().refresh_rollups(period, aggregate)
