"""Every write to events and to what is kept beside them, by noun."""

from analytics.pipeline.event_storage import accept_events, store_events
from analytics.services.bots import find_fast_bots, reclassify_bots
from analytics.services.exports import export_events
from analytics.services.flag_days import fold_flag_days
from analytics.services.phases import open_phase
from analytics.services.policies import set_event_policy
from analytics.services.retention import apply_retention
from analytics.services.sums import keep_distribution, keep_pairs, keep_segments, keep_sums
from analytics.services.users import export_user, forget_user

__all__ = [
    "accept_events",
    "apply_retention",
    "export_events",
    "export_user",
    "find_fast_bots",
    "fold_flag_days",
    "forget_user",
    "keep_distribution",
    "keep_pairs",
    "keep_segments",
    "keep_sums",
    "open_phase",
    "reclassify_bots",
    "set_event_policy",
    "store_events",
]
