"""Phases of experiments, as far as first exposures are concerned."""

from datetime import datetime

from analytics.stores import store
from analytics.stores.base import full_millisecond


def open_phase(*, environment_id: int, experiment: str, started_at: datetime) -> None:
    """From `started_at` on, the experiment's units count as first exposed anew; asking again changes nothing.

    Results of a whole phase then come from what the ingest keeps up; without it they come from the raw events, slower.
    """
    store().open_phase(environment_id, experiment, full_millisecond(started_at))
