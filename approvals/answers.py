"""The whole change request, as its page and its route show it."""

from dataclasses import asdict
from typing import Any

from approvals.documents import listed_request, review_resource
from approvals.models import ChangeRequest
from approvals.services.standing import missing_of
from approvals.services.trials import bases_of, clashes_of


def request_resource(request: ChangeRequest) -> dict[str, Any]:
    """The whole request: what each part was and would be, its reviews, and what stands in the way."""
    missing = missing_of(request)
    is_waiting = request.state in {ChangeRequest.State.DRAFT, ChangeRequest.State.OPEN}
    clashes = (
        clashes_of(request.changes, request.bases, bases_of(request.environment, request.changes)) if is_waiting else []
    )
    return {
        **listed_request(request),
        "parts": [
            {
                "environment": part["environment"],
                "type": part["entity"],
                "key": part["key"],
                "before": part["before"],
                "after": part["after"],
                "shownBefore": part["presentation_before"],
                "shownAfter": part["presentation"],
            }
            for part in request.parts
        ],
        "reviews": [review_resource(review, request.content) for review in request.reviews.all()],
        "missing": [asdict(problem) for problem in missing] if is_waiting else [],
        "clashes": clashes,
    }
