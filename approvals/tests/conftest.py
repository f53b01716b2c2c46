"""A guarded environment with people of each role, and short ways to propose and review."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from approvals import services
from approvals.models import ChangeRequest
from approvals.selectors import policy_of
from flags.versions.loading import load_document
from tenancy.callers.principals import Principal, principal_of_user
from tenancy.errors import ServiceError
from tenancy.models import Environment, User
from tenancy.testing import ALICE

HALF = {"rollout": [{"variant": "treatment", "percent": 50}]}
ONE = {"requiredApprovals": 1}


def refused(act, code):
    """Do what a service is to refuse, with that code; return the refusal."""
    with pytest.raises(ServiceError) as found:
        act()
    assert found.value.problems[0].code == code, found.value
    return found.value


@dataclass(slots=True)
class Desk:
    """People by name, and what they do in one environment."""

    environment: Environment
    people: dict[str, User] = field(default_factory=dict)

    def principal(self, name: str) -> Principal:
        return principal_of_user(self.people[name])

    def policy(self, where: Environment | None = None, **payload: Any) -> None:
        place = where or self.environment
        version = policy_of(place).version
        services.set_policy(actor=ALICE, environment=place, payload=payload, version=version)

    def propose(self, patch: dict[str, Any], *, by: str = "ann", key: str = "new-checkout", **payload: Any) -> Any:
        action = payload.pop("action", "update")
        change = {"resource": {"type": payload.pop("type", "flag"), "key": key}, "action": action, "patch": patch}
        return services.create_request(
            principal=self.principal(by),
            environment=self.environment,
            payload={"title": "A change", "changes": [change], **payload},
        )

    def review(self, request: ChangeRequest, by: str, verdict: str = "approve", text: str = "Well?") -> ChangeRequest:
        return services.review_request(principal=self.principal(by), request=request, verdict=verdict, text=text)

    def publish(self, request: ChangeRequest, by: str = "ann") -> ChangeRequest:
        return services.publish_request(principal=self.principal(by), request=request)

    def served(self) -> Any:
        """What evaluators get, without the versions."""
        document = load_document(self.environment.pk) or {}
        return {
            kind: {key: {**part, "version": 0} for key, part in document[kind].items()}
            for kind in ("flags", "segments")
        }


@pytest.fixture
def desk(environment, person, make_flag):
    """Ann and Bob are editors, Carl and Dora admins, Olga is the owner, Vera looks on."""
    organization = environment.project.organization
    roles = {"ann": "editor", "bob": "editor", "carl": "admin", "dora": "admin", "olga": "owner", "vera": "viewer"}
    make_flag(rollout=[{"variant": "treatment", "percent": 10}])
    environment.refresh_from_db()
    return Desk(environment, {name: person(role, organization, name) for name, role in roles.items()})
