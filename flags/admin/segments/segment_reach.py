"""Whom a change of a segment reaches before it is saved."""

from collections.abc import Mapping
from typing import Any

from flags.admin.reach import Reach, counted_in_time
from flags.admin.segments.membership import membership
from flags.documents import segment_document
from flags.evaluation.impact import phases_begun_by_segment
from flags.models import Segment
from flags.selectors import segment_users


def reach_of_segment(segment: Segment, before: Mapping[str, Any], after: Mapping[str, Any]) -> Reach:
    """Compare two documents of one segment. `dependents` is empty: what uses it follows by who is in it."""
    environment = segment.environment
    phases = phases_begun_by_segment(environment, before, after)
    parts = ("included", "excluded", "conditions")
    users = segment_users(segment)
    if not users or all(before[name] == after[name] for name in parts):
        return Reach(environment, phases=phases)
    changed = {**segment_document(segment), **{name: after[name] for name in parts}}
    found = counted_in_time(lambda: membership(environment, segment_document(segment), changed))
    unknown = [f"We cannot tell how many users come in or leave. It is used by: {', '.join(users)}."]
    return Reach(environment, unknown=unknown, membership=found, phases=phases)
