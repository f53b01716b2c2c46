"""What the API answers for policies, freezes and change requests. The audit log stores the same documents."""

from typing import Any

from approvals.models import ChangeRequest, Freeze, Policy, Review


def policy_resource(policy: Policy) -> dict[str, Any]:
    when: dict[str, Any] = {}
    if policy.impact_percent is not None:
        when["impactPercent"] = policy.impact_percent
    if policy.asks_for_experiments:
        when["experiments"] = True
    if policy.tags:
        when["tags"] = policy.tags
    return {
        "environment": policy.environment.key,
        "requiredApprovals": policy.required_approvals,
        "approvers": {"roles": policy.approver_roles, "groups": policy.approver_groups},
        "ownApproval": policy.is_own_approval_allowed,
        "when": when,
        "emergency": {"roles": policy.emergency_roles},
        "checks": policy.checks,
        "version": policy.version,
    }


def freeze_resource(freeze: Freeze) -> dict[str, Any]:
    return {
        "id": str(freeze.pk),
        "name": freeze.name,
        "reason": freeze.reason,
        "project": freeze.project.key if freeze.project else None,
        "environment": freeze.environment.key if freeze.environment else None,
        "since": freeze.since,
        "until": freeze.until,
        "cron": freeze.cron or None,
        "durationMinutes": int(freeze.duration.total_seconds() // 60) if freeze.duration else None,
        "zone": freeze.zone,
        "exempt": {"roles": freeze.exempt_roles, "groups": freeze.exempt_groups},
        "createdBy": freeze.created_by,
        "version": freeze.version,
        "createdAt": freeze.created_at,
        "updatedAt": freeze.updated_at,
    }


def review_resource(review: Review, content: str) -> dict[str, Any]:
    """`current` says whether it is about the content that the request has now."""
    return {
        "id": str(review.pk),
        "reviewer": review.reviewer_label,
        "verdict": review.verdict,
        "text": review.text,
        "content": review.content,
        "baseVersions": review.bases,
        "current": review.content == content,
        "at": review.created_at,
    }


def listed_request(request: ChangeRequest) -> dict[str, Any]:
    """The request without the documents of its parts, for lists and for the audit log."""
    return {
        "id": str(request.pk),
        "title": request.title,
        "description": request.description,
        "environment": request.environment.key,
        "state": request.state,
        "author": request.author_label,
        "changes": request.changes,
        "content": request.content,
        "asks": request.asks,
        "at": request.publish_at,
        "publishWhenApproved": request.is_automatic,
        "heldBecause": request.held_because or None,
        "reverts": str(request.reverts_id) if request.reverts_id else None,
        "emergencyReason": request.emergency_reason or None,
        "reviewOwed": request.is_review_owed,
        "publishedAt": request.published_at,
        "publishedBy": request.published_by or None,
        "configVersion": request.published_version,
        "version": request.version,
        "createdAt": request.created_at,
        "updatedAt": request.updated_at,
    }
