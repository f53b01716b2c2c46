"""Where a request stands: whose verdicts hold, and what is missing before it may be published."""

from collections.abc import Sequence

from approvals import people
from approvals.models import ChangeRequest, Policy, Review
from approvals.rules.publishing import APPROVED, OBJECTED, Ask, Missing, Request, Standing, may_publish
from approvals.selectors import policy_of
from tenancy.models import Environment, User

_VERDICTS = (Review.Verdict.APPROVE, Review.Verdict.OBJECT, Review.Verdict.WITHDRAW)


def asks_of(request: ChangeRequest) -> list[Ask]:
    """Return what the policies ask of the content. Setting a policy works it out anew."""
    return [
        Ask(
            one["environment"],
            one["requiredApprovals"],
            one["ownApproval"],
            frozenset(one["checks"]),
            tuple(one["why"]),
        )
        for one in request.asks
    ]


def missing_of(
    request: ChangeRequest, *, content: str | None = None, asks: Sequence[Ask] | None = None, is_emergency: bool = False
) -> list[Missing]:
    """Return what stands in the way of publishing this content, by default what the request had last."""
    asked = asks_of(request) if asks is None else asks
    facts = Request(
        is_open=request.state == ChangeRequest.State.OPEN,
        content=request.content if content is None else content,
        asks=asked,
        standing=standing_of(request, asked),
    )
    return may_publish(facts, is_emergency=is_emergency)


def standing_of(request: ChangeRequest, asks: Sequence[Ask]) -> list[Standing]:
    """Return the latest verdict of each reviewer, with what their roles and groups let it count for now."""
    latest: dict[int, Review] = {}
    for review in request.reviews.all():
        if review.reviewer_id is not None and review.verdict in _VERDICTS:
            latest[review.reviewer_id] = review
    project = request.environment.project
    keys = {request.environment.key, *(ask.environment for ask in asks)}
    environments = list(Environment.objects.filter(project=project, key__in=keys).select_related("project"))
    policies = [(environment, policy_of(environment)) for environment in environments] if latest else []
    return [_standing(request, review, policies) for review in latest.values()]


def _standing(request: ChangeRequest, review: Review, policies: Sequence[tuple[Environment, Policy]]) -> Standing:
    user: User | None = review.reviewer
    return Standing(
        reviewer=review.reviewer_label,
        verdict={Review.Verdict.APPROVE: APPROVED, Review.Verdict.OBJECT: OBJECTED}.get(
            Review.Verdict(review.verdict), ""
        ),
        content=review.content,
        is_author=review.reviewer_id == request.author_id,
        may_approve=frozenset(
            environment.key for environment, policy in policies if people.may_approve(user, environment, policy)
        ),
        is_objection_valid=any(people.may_object(user, environment, policy) for environment, policy in policies),
        is_check=review.reviewer_id != request.author_id
        and any(people.is_check(user, policy) for _, policy in policies),
    )
