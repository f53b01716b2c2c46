"""Personas for every app's tests: an organization, members of each role, an outsider, and clients for them."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.test import Client

from audit.actors import Actor
from tenancy import services
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Environment, Organization, Project, User
from tenancy.roles import Role

ALICE = Actor(kind="user", id="1", label="alice")


class Caller:
    """A client of the API that sends one credential, JSON bodies, and the tenant's header with a management token."""

    def __init__(self, secret: str, tenant: str | None = None, **query: str) -> None:
        self.secret, self.tenant, self.query = secret, tenant, query
        self._client = Client()

    def send(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **query: str
    ) -> Any:
        sent = {"Authorization": f"Bearer {self.secret}", **({"X-Tenant-ID": self.tenant} if self.tenant else {})}
        arguments: dict[str, Any] = {"headers": {**sent, **(headers or {})}, "query_params": {**self.query, **query}}
        if body is not None:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            arguments |= {"data": content, "content_type": "application/json"}
        return getattr(self._client, method)(f"/api/{path}", **arguments)

    def get(self, path: str, **query: Any) -> Any:
        return self.send("get", path, **query)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.send("post", path, {} if body is None else body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Any:
        return self.send("put", path, body, **options)

    def patch(self, path: str, body: Any, **options: Any) -> Any:
        return self.send("patch", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.send("delete", path, **options)


@pytest.fixture
def organization(db: None) -> Organization:
    return services.create_organization(actor=ALICE, slug="acme", name="Acme")


@pytest.fixture
def project(organization: Organization) -> Project:
    return services.create_project(actor=ALICE, organization=organization, key="web", name="Web")


@pytest.fixture
def environment(project: Project) -> Environment:
    return services.create_environment(actor=ALICE, project=project, key="production", name="Production")


@pytest.fixture
def staging(project: Project) -> Environment:
    return services.create_environment(actor=ALICE, project=project, key="staging", name="Staging")


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Make a person with a role on an organization, or narrower."""

    def _person(role: Role | str, organization: Organization, name: str | None = None, **scope: Any) -> User:
        user = User.objects.create(username=name or f"{role}-of-{organization.slug}")
        services.add_member(actor=ALICE, user=user, role=Role(role), organization=organization, **scope)
        return user

    return _person


@pytest.fixture
def token(db: None) -> Callable[[User, Organization], Caller]:
    """Make a client with a management token of a person."""

    def _token(user: User, organization: Organization) -> Caller:
        issued = services.issue_credential(
            actor=ALICE, kind="manage", name=f"{user.username}'s token", organization=organization, user=user
        )
        KEYRING.refresh()
        return Caller(issued.secret, organization.slug)

    return _token


@pytest.fixture
def key(environment: Environment) -> Callable[..., Caller]:
    """Make a client with a server or client key of the environment."""

    def _key(kind: str = "server", where: Environment = environment) -> Caller:
        issued = services.issue_credential(
            actor=ALICE, kind=kind, name="a service", organization=where.project.organization, environment=where
        )
        KEYRING.refresh()
        return Caller(issued.secret)

    return _key


@pytest.fixture
def editor(environment: Environment, person: Any, token: Any) -> Caller:
    organization = environment.project.organization
    return token(person("editor", organization), organization)


@pytest.fixture
def viewer(environment: Environment, person: Any, token: Any) -> Caller:
    organization = environment.project.organization
    return token(person("viewer", organization), organization)


@pytest.fixture
def admin(environment: Environment, person: Any, token: Any) -> Caller:
    organization = environment.project.organization
    return token(person("admin", organization), organization)


@pytest.fixture
def owner(environment: Environment, person: Any, token: Any) -> Caller:
    organization = environment.project.organization
    return token(person("owner", organization), organization)


@pytest.fixture
def globex(db: None) -> Environment:
    """Another tenant's only environment. It has the same keys as ours, so that a look-up by key alone would show."""
    organization = services.create_organization(actor=ALICE, slug="globex", name="Globex")
    project = services.create_project(actor=ALICE, organization=organization, key="web", name="Web")
    return services.create_environment(actor=ALICE, project=project, key="production", name="Production")


@pytest.fixture
def outsider(globex: Environment, person: Any, token: Any) -> Caller:
    """The owner of another tenant."""
    organization = globex.project.organization
    return token(person("owner", organization), organization)
