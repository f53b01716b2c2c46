"""The write services of tenancy: each leaves its state and its audit row, and tells the processes on commit."""

import pytest

from audit.models import Entry
from tenancy import services
from tenancy.errors import Conflict, Invalid
from tenancy.models import Credential, Environment, KeyringRevision, Membership, Organization, Project, User
from tenancy.roles import Role
from tenancy.signals import credentials_changed
from tenancy.testing import ALICE


def _entry():
    return Entry.objects.order_by("-id").first()


def test_create_organization__works(db):
    user = User.objects.create(username="olga")
    organization = services.create_organization(actor=ALICE, slug="acme", name="Acme", owner=user)

    assert Organization.objects.get() == organization
    assert Membership.objects.get().role == Role.OWNER
    actions = list(Entry.objects.order_by("id").values_list("action", "organization_id"))
    assert actions == [("organization.created", organization.pk), ("member.added", organization.pk)]


@pytest.mark.parametrize("slug", ["", "Acme", "-acme", "acme-", "a b", "a" * 64])
def test_create_organization__bad_slug__is_refused_by_name(db, slug):
    with pytest.raises(Invalid) as refused:
        services.create_organization(actor=ALICE, slug=slug, name="Acme")

    assert refused.value.problems[0].attr == "slug"
    assert not Entry.objects.exists()


def test_create_organization__slug_taken__is_key_exists(organization):
    with pytest.raises(Conflict) as refused:
        services.create_organization(actor=ALICE, slug="acme", name="Other")

    assert refused.value.problems[0].code == "key_exists"


def test_create_project__works(organization):
    project = services.create_project(actor=ALICE, organization=organization, key="web", name="Web")

    assert Project.objects.get() == project
    entry = _entry()
    assert (entry.action, entry.entity_key, entry.project) == ("project.created", "web", "web")
    assert (entry.after["key"], entry.after["name"]) == ("web", "Web")


def test_create_project__key_taken_by_another_tenant__works(organization, globex):
    assert services.create_project(actor=ALICE, organization=organization, key="web", name="Web")


def test_create_environment__works(project):
    environment = services.create_environment(
        actor=ALICE, project=project, key="production", name="Production", is_production=True, salt="s1"
    )

    assert Environment.objects.get() == environment
    entry = _entry()
    assert (entry.action, entry.project, entry.environment) == ("environment.created", "web", "production")
    assert (entry.after["name"], entry.after["isProduction"], entry.after["salt"]) == ("Production", True, "s1")


def test_add_member__works(organization):
    user = User.objects.create(username="olga")
    services.add_member(actor=ALICE, user=user, role=Role.EDITOR, organization=organization)

    assert Membership.objects.get(user=user).role == "editor"
    entry = _entry()
    assert (entry.action, entry.entity_key, entry.after) == (
        "member.added", "olga", {"user": "olga", "role": "editor"},
    )  # fmt: skip


def test_add_member__has_a_role_there__is_refused(organization, person):
    user = person("viewer", organization)
    with pytest.raises(Conflict) as refused:
        services.add_member(actor=ALICE, user=user, role=Role.OWNER, organization=organization)

    assert refused.value.problems[0].code == "member_exists"


def test_issue_and_revoke_credential__tell_every_process_on_commit(environment, django_capture_on_commit_callbacks):
    before = KeyringRevision.objects.values_list("value", flat=True).first() or 0
    told = []
    credentials_changed.connect(lambda **_: told.append(1), weak=False, dispatch_uid="this test")
    with django_capture_on_commit_callbacks(execute=True):
        issued = services.issue_credential(
            actor=ALICE, kind="server", name="x", organization=environment.project.organization, environment=environment
        )
    assert len(told) == 1
    assert _entry().action == "credential.created"
    with django_capture_on_commit_callbacks(execute=True):
        services.revoke_credential(actor=ALICE, credential=issued.credential, reason="leaked")
    credentials_changed.disconnect(dispatch_uid="this test")

    assert len(told) == 2
    assert (_entry().action, _entry().reason) == ("credential.revoked", "leaked")
    assert KeyringRevision.objects.get().value == before + 2


def test_revoke_credential__again__changes_nothing(environment):
    organization = environment.project.organization
    issued = services.issue_credential(
        actor=ALICE, kind="client", name="x", organization=organization, environment=environment
    )
    first = services.revoke_credential(actor=ALICE, credential=issued.credential)
    entries = Entry.objects.count()
    again = services.revoke_credential(actor=ALICE, credential=issued.credential)

    assert (again.revoked_at, Entry.objects.count()) == (first.revoked_at, entries)


def test_issue_credential__environment_of_another_tenant__is_refused(environment, globex):
    with pytest.raises(Invalid) as refused:
        services.issue_credential(
            actor=ALICE, kind="server", name="x", organization=environment.project.organization, environment=globex
        )

    assert refused.value.problems[0].attr == "environment"
    assert not Credential.objects.exists()


def test_add_member__scope_of_another_tenant__is_refused(organization, globex):
    user = User.objects.create(username="olga")
    with pytest.raises(Invalid) as refused:
        services.add_member(actor=ALICE, user=user, role=Role.ADMIN, organization=organization, project=globex.project)

    assert refused.value.problems[0].attr == "project"
