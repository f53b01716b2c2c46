"""Phases of experiments, as far as first exposures depend on them."""

from datetime import datetime

from analytics.stores import store
from analytics.stores.base import full_millisecond


def open_phase(*, environment_id: int, experiment: str, started_at: datetime) -> None:
    """From `started_at` on, count the experiment's units as first exposed anew. Asking again changes nothing.

    Results of a whole phase then come from the tables that the ingest maintains. Without it they come from the raw
    events, which takes longer.
    """
    store().open_phase(environment_id, experiment, full_millisecond(started_at))
