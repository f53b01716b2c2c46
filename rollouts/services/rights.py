"""The role that a plan takes beyond the one in its environment."""

from tenancy import access
from tenancy.callers.principals import Principal
from tenancy.models import Environment
from tenancy.roles import Role


def require_reach(principal: Principal, environment: Environment, *, then: str | None) -> None:
    """Raise Forbidden unless the caller may end a plan so: to make it permanent tags the flag in the whole project."""
    if then:
        access.require(principal, environment.project, Role.EDITOR)
