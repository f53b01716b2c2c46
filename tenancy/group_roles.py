"""Reads and checks `OIDC_GROUP_ROLES`: the role that a group of the identity provider gives, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenancy.roles import Role


@dataclass(frozen=True, slots=True)
class Scope:
    """An organization by its slug, or narrower: a project, or one of its environments."""

    organization: str
    project: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on an organization, a project or an environment."""

    scope: Scope
    role: Role


GroupRoles = Mapping[str, tuple[Grant, ...]]


def read_group_roles(value: Any) -> GroupRoles:
    """Read `{"group": "acme/web:editor", "others": ["acme:viewer"]}`. Raises ValueError saying what is wrong."""
    if not isinstance(value, dict):
        raise ValueError('must be a JSON object such as {"developers": "acme:editor"}')  # noqa: TRY004 - settings refuse with one kind of error
    return {
        group: tuple(_read(text) for text in ([given] if isinstance(given, str) else given))
        for group, given in value.items()
    }


def _read(text: str) -> Grant:
    place, colon, name = text.rpartition(":")
    parts = place.split("/")
    if not colon or not all(parts) or len(parts) > 3 or name not in Role:
        raise ValueError(
            f"has {text!r}; write organization:role, organization/project:role or "
            f"organization/project/environment:role, with one of the roles {', '.join(Role.values)}"
        )
    role = Role(name)
    if role.is_for_organizations_alone and len(parts) > 1:
        raise ValueError(f"has {text!r}; only a whole organization has owners")
    return Grant(Scope(*parts), role)


def roles_of(groups: Iterable[str], mapping: GroupRoles) -> dict[Scope, Role | None]:
    """Return the strongest role that those groups give in each place of the mapping; None where they give none."""
    member_of = set(groups)
    found: dict[Scope, Role | None] = {}
    for group, grants in mapping.items():
        for grant in grants:
            best = found.setdefault(grant.scope, None)
            if group in member_of and (best is None or grant.role.rank > best.rank):
                found[grant.scope] = grant.role
    return found
