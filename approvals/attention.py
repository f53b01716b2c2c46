"""What waits for one person: requests to review, to mend or to publish, and reviews that are owed."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import timezone

from approvals import people, selectors
from approvals.models import ChangeRequest, Policy, Review
from approvals.services.standing import Say, missing_of
from tenancy.callers.principals import Principal
from tenancy.models import Environment, User

_MOST = 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request, why it waits for this person, and how bad that is: bad, warn or info."""

    request: ChangeRequest
    why: str
    tone: str


class Reviewer:
    """One person's say in the environments of a project. Each environment is looked up once."""

    def __init__(self, user: User, environments: Iterable[Environment]) -> None:
        self.user = user
        self._environments = {environment.key: environment for environment in environments}
        self._say: dict[str, tuple[Policy, bool]] = {}

    def is_asked(self, request: ChangeRequest) -> bool:
        """Whether an approval of this person would count, and has not been given for this content."""
        if request.state != ChangeRequest.State.OPEN or self._has_approved(request):
            return False
        is_own = request.author_id == self.user.pk
        for ask in request.asks:
            policy, may_approve = self._in(ask["environment"])
            if may_approve and (not is_own or policy.is_own_approval_allowed):
                return True
        return False

    def _in(self, key: str) -> tuple[Policy, bool]:
        if key not in self._say:
            environment = self._environments.get(key)
            policy = selectors.policy_of(environment) if environment else Policy()
            may = environment is not None and people.may_approve(self.user, environment, policy)
            self._say[key] = policy, may
        return self._say[key]

    def _has_approved(self, request: ChangeRequest) -> bool:
        said = [row for row in request.reviews.all() if row.reviewer_id == self.user.pk]
        verdicts = [row for row in said if row.verdict != Review.Verdict.COMMENT]
        return (
            bool(verdicts)
            and verdicts[-1].verdict == Review.Verdict.APPROVE
            and verdicts[-1].content == request.content
        )


def reviewer_in(principal: Principal, environment: Environment) -> Reviewer | None:
    user = people.user_of(principal.actor)
    if user is None:
        return None
    return Reviewer(user, environment.project.environments.select_related("project__organization"))


def waiting_for(principal: Principal, environment: Environment) -> list[Waiting]:
    """Return what waits in the environment, what is worst first. A review that is owed waits for everybody."""
    owed = selectors.reviews_owed([environment]).order_by("id")[:_MOST]
    found = [Waiting(one, f"published in an emergency: {one.emergency_reason}", "bad") for one in owed]
    reviewer = reviewer_in(principal, environment)
    if reviewer is None:
        return found
    open_ones = selectors.requests_in([environment]).filter(state=ChangeRequest.State.OPEN).order_by("id")[:_MOST]
    say = Say()
    for request in open_ones:
        if request.author_id == reviewer.user.pk:
            found += _for_author(request, say)
        if reviewer.is_asked(request):
            found.append(Waiting(request, f"proposed by {request.author_label}: review it", "info"))
    return found


def _for_author(request: ChangeRequest, say: Say) -> list[Waiting]:
    if request.held_because:
        return [Waiting(request, f"not published: {request.held_because}", "warn")]
    missing = missing_of(request, say=say)
    if any(problem.why == "objected" for problem in missing):
        return [Waiting(request, missing[0].detail, "warn")]
    if not missing and (request.publish_at is None or request.publish_at <= timezone.now()):
        return [Waiting(request, "nothing is missing: publish it", "info")]
    return []
