"""Where a request stands: whose verdicts hold, and what is missing before it may be published."""

from collections.abc import Sequence
from dataclasses import dataclass

from approvals import people
from approvals.models import ChangeRequest, Policy, Review
from approvals.rules.publishing import APPROVED, OBJECTED, Ask, Missing, Request, Standing, may_publish
from approvals.selectors import policy_of
from tenancy.models import Environment, User
from tenancy.roles import Role

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


class Say:
    """Whose verdicts count where. Each environment is looked up once, however many requests are looked at."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, str], _Place | None] = {}

    def places_of(self, request: ChangeRequest, asks: Sequence[Ask]) -> list["_Place"]:
        """Return the environments whose reviewers have a say in the request."""
        project = request.environment.project_id
        keys = {request.environment.key, *(ask.environment for ask in asks)}
        unknown = [key for key in keys if (project, key) not in self._places]
        if unknown:
            self._places |= dict.fromkeys((project, key) for key in unknown)
            found = Environment.objects.filter(project=project, key__in=unknown).select_related("project")
            self._places |= {(project, environment.key): _place_of(environment) for environment in found}
        return [place for key in sorted(keys) if (place := self._places[project, key]) is not None]


@dataclass(frozen=True, slots=True)
class _Place:
    key: str
    policy: Policy
    approvers: frozenset[int]
    objectors: frozenset[int]


def _place_of(environment: Environment) -> _Place:
    policy = policy_of(environment)
    approvers = frozenset(people.approvers(environment, policy).values_list("pk", flat=True))
    editors = people.among(environment, roles=[Role.EDITOR]).values_list("pk", flat=True)
    return _Place(environment.key, policy, approvers, approvers.union(editors))


def missing_of(
    request: ChangeRequest,
    *,
    content: str | None = None,
    asks: Sequence[Ask] | None = None,
    is_emergency: bool = False,
    say: Say | None = None,
) -> list[Missing]:
    """Return what stands in the way of publishing this content, by default what the request had last."""
    asked = asks_of(request) if asks is None else asks
    facts = Request(
        is_open=request.state == ChangeRequest.State.OPEN,
        content=request.content if content is None else content,
        asks=asked,
        standing=standing_of(request, asked, say),
    )
    return may_publish(facts, is_emergency=is_emergency)


def standing_of(request: ChangeRequest, asks: Sequence[Ask], say: Say | None = None) -> list[Standing]:
    """Return the latest verdict of each reviewer, with what their roles and groups let it count for now."""
    latest: dict[int, Review] = {}
    for review in request.reviews.all():
        if review.reviewer_id is not None and review.verdict in _VERDICTS:
            latest[review.reviewer_id] = review
    places = (say or Say()).places_of(request, asks) if latest else []
    return [_standing(request, review, places) for review in latest.values()]


def _standing(request: ChangeRequest, review: Review, places: Sequence[_Place]) -> Standing:
    user: User | None = review.reviewer
    is_check = any(people.is_check(user, place.policy) for place in places)
    return Standing(
        reviewer=review.reviewer_label,
        verdict={Review.Verdict.APPROVE: APPROVED, Review.Verdict.OBJECT: OBJECTED}.get(
            Review.Verdict(review.verdict), ""
        ),
        content=review.content,
        is_author=review.reviewer_id == request.author_id,
        may_approve=frozenset(place.key for place in places if review.reviewer_id in place.approvers),
        is_objection_valid=is_check or any(review.reviewer_id in place.objectors for place in places),
        is_check=is_check and review.reviewer_id != request.author_id,
    )
