"""Every write to policies, change requests, reviews and freezes."""

from approvals.services.freezes import create_freeze, delete_freeze, update_freeze
from approvals.services.guarding import unmark_ended
from approvals.services.policies import set_policy
from approvals.services.publishing import emergency_publish, publish_by_itself, publish_due, publish_request
from approvals.services.requests import cancel_request, create_request, rebase_request, update_request
from approvals.services.reverting import revert_request
from approvals.services.reviews import review_request

__all__ = [
    "cancel_request",
    "create_freeze",
    "create_request",
    "delete_freeze",
    "emergency_publish",
    "publish_by_itself",
    "publish_due",
    "publish_request",
    "rebase_request",
    "revert_request",
    "review_request",
    "set_policy",
    "unmark_ended",
    "update_freeze",
    "update_request",
]
