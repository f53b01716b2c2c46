"""What is done to policies, change requests and freezes."""

from typing import TypedDict

from audit.actions import Action, Document, register


class ReviewState(TypedDict):
    """`content` is the hash of what was looked at."""

    title: str
    content: str
    text: str


class HeldRequest(TypedDict):
    """`until` is when the schedule looks at it again, if it does."""

    title: str
    why: str
    until: str | None


_REQUEST = Document("ListedChangeRequest")
_POLICY = Document("Policy")
_FREEZE = Document("Freeze")
_KIND = "change_request"

register(
    Action(f"{_KIND}.created", "Change proposed", "a change request was made", _REQUEST),
    Action(f"{_KIND}.updated", "Proposal changed", "a change request was edited", _REQUEST),
    Action(f"{_KIND}.rebased", "Proposal rebased", "a change request was built on what is served now", _REQUEST),
    Action(f"{_KIND}.approved", "Change approved", "somebody approved a change request", ReviewState, tone="success"),
    Action(
        f"{_KIND}.objected",
        "Objection raised",
        "somebody objected to a change request, which blocks it",
        ReviewState,
        tone="warning",
        remedy="Read the objection on the request's page, and change the request or settle it with its reviewer.",
    ),
    Action(f"{_KIND}.objection_withdrawn", "Objection taken back", "somebody took an objection back", ReviewState),
    Action(f"{_KIND}.commented", "Change commented on", "somebody commented on a change request", ReviewState),
    Action(f"{_KIND}.published", "Change published", "a change request was published", _REQUEST, tone="success"),
    Action(
        f"{_KIND}.emergency_published",
        "Emergency change",
        "a change request was published without its approvals",
        _REQUEST,
        tone="danger",
        remedy="Review what was published: the request's page says what and why, and the review is owed.",
    ),
    Action(
        f"{_KIND}.held",
        "Change held",
        "a change request could not be published at its instant, or by itself",
        HeldRequest,
        tone="warning",
        remedy="Its page says what is missing. In a freeze it is published once the freeze ends.",
    ),
    Action(f"{_KIND}.cancelled", "Proposal cancelled", "a change request was cancelled", _REQUEST),
    Action(
        "policy.changed",
        "Policy changed",
        "an environment asks something else before a change is served",
        _POLICY,
        tone="warning",
    ),
    Action("freeze.created", "Freeze made", "a freeze was made", _FREEZE),
    Action("freeze.updated", "Freeze changed", "a freeze was changed", _FREEZE),
    Action("freeze.deleted", "Freeze deleted", "a freeze was deleted", _FREEZE, tone="warning"),
)
