"""Every write to events and to what is derived from them."""

from analytics.pipeline.event_storage import accept_events, store_events
from analytics.services.bots import find_fast_bots, reclassify_bots
from analytics.services.exports import export_events
from analytics.services.flags import aggregate_flags
from analytics.services.letters import discard_dead_letters, retry_dead_letters
from analytics.services.phases import open_phase
from analytics.services.policies import set_event_policy
from analytics.services.resplits import deal, resplit_units
from analytics.services.retention import apply_retention
from analytics.services.reused_ids import reused_ids
from analytics.services.rollups import refresh_rollups
from analytics.services.users import EventsPlace, export_user, forget_user, wait_until_stored

__all__ = [
    "EventsPlace",
    "accept_events",
    "aggregate_flags",
    "apply_retention",
    "deal",
    "discard_dead_letters",
    "export_events",
    "export_user",
    "find_fast_bots",
    "forget_user",
    "open_phase",
    "reclassify_bots",
    "refresh_rollups",
    "resplit_units",
    "retry_dead_letters",
    "reused_ids",
    "set_event_policy",
    "store_events",
    "wait_until_stored",
]
