"""Personas in the console: signed in, with a role in acme; and an owner of another organization."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client

from tenancy import services
from tenancy.models import Environment, Organization, Project, User
from tenancy.roles import Role
from tenancy.testing import ALICE


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with one project, in production and staging."""

    organization: Organization
    project: Project
    production: Environment
    staging: Environment


@pytest.fixture
def acme(organization: Organization, project: Project) -> Tenant:
    production = services.create_environment(
        actor=ALICE, project=project, key="production", name="Production", is_production=True
    )
    staging = services.create_environment(actor=ALICE, project=project, key="staging", name="Staging")
    return Tenant(organization, project, production, staging)


def signed_in(user: User) -> Client:
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def console_owner(acme: Tenant, person: Callable[..., User]) -> Client:
    return signed_in(person(Role.OWNER, acme.organization, "olga"))


@pytest.fixture
def console_editor(acme: Tenant, person: Callable[..., User]) -> Client:
    return signed_in(person(Role.EDITOR, acme.organization, "eddie"))


@pytest.fixture
def console_viewer(acme: Tenant, person: Callable[..., User]) -> Client:
    return signed_in(person(Role.VIEWER, acme.organization, "vera"))


@pytest.fixture
def console_outsider(acme: Tenant, person: Callable[..., User]) -> Client:
    rival = services.create_organization(actor=ALICE, slug="rival", name="Rival")
    project = services.create_project(actor=ALICE, organization=rival, key="web", name="Web")
    services.create_environment(actor=ALICE, project=project, key="production", name="Production")
    return signed_in(person(Role.OWNER, rival, "oscar"))
