"""The one door: who gets which environment, with which role, and what everybody else hears."""

import pytest

from audit.actors import Actor
from tenancy import access
from tenancy.callers.principals import Principal
from tenancy.errors import Forbidden, Invalid, NotFound
from tenancy.roles import Role


def _principal(user=None, organization=None, environment=None):
    return Principal(
        kind="server" if environment else "user",
        actor=Actor(kind="user", id="1", label="x"),
        organization_id=organization.pk if organization else None,
        environment_id=environment.pk if environment else None,
        user_id=user.pk if user else None,
    )


def test_get_environment__only_one__is_implied(environment, person):
    user = person("viewer", environment.project.organization)

    assert access.get_environment(_principal(user)) == environment


def test_get_environment__several__is_ambiguous_naming_the_choices(environment, staging, person):
    user = person("viewer", environment.project.organization)
    with pytest.raises(Invalid) as refused:
        access.get_environment(_principal(user))

    assert (refused.value.problems[0].attr, refused.value.problems[0].code) == ("environment", "ambiguous")
    assert access.get_environment(_principal(user), environment="staging") == staging


@pytest.mark.parametrize("named", [{}, {"project": "web"}, {"project": "web", "environment": "production"}])
def test_get_environment__member_of_nothing__is_not_found(environment, globex, person, named):
    outsider = person("owner", globex.project.organization)

    assert access.get_environment(_principal(outsider), **named) == globex
    with pytest.raises(NotFound):
        access.get_environment(_principal(outsider, environment.project.organization), **named)


def test_get_environment__role_on_one_environment__reaches_no_other(environment, staging, person):
    user = person("editor", environment.project.organization, project=environment.project, environment=staging)

    assert access.get_environment(_principal(user), needs=Role.EDITOR) == staging
    with pytest.raises(NotFound):
        access.get_environment(_principal(user), environment="production")


def test_get_environment__higher_role_further_in__counts(environment, staging, person):
    organization = environment.project.organization
    user = person("viewer", organization)
    from tenancy.services import add_member  # noqa: PLC0415 - one scenario adds a second role
    from tenancy.testing import ALICE  # noqa: PLC0415 - likewise

    add_member(
        actor=ALICE, user=user, role=Role.ADMIN, organization=organization, project=staging.project, environment=staging
    )

    assert access.role_on(_principal(user), staging) == Role.ADMIN
    assert access.role_on(_principal(user), environment) == Role.VIEWER
    with pytest.raises(Forbidden, match="needs the role editor"):
        access.get_environment(_principal(user), environment="production", needs=Role.EDITOR)


def test_get_environment__key__may_not_manage(environment):
    with pytest.raises(Forbidden, match="management token"):
        access.get_environment(_principal(environment=environment))


@pytest.mark.parametrize("needed", list(Role))
@pytest.mark.parametrize("held", list(Role))
def test_role_covers__what_ranks_below_it(held, needed):
    assert held.covers(needed) == (list(Role).index(held) <= list(Role).index(needed))
