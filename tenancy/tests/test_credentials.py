"""Secrets: shown once, stored hashed, found by prefix, gone when revoked or expired."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import Entry
from tenancy import credentials, services
from tenancy.authentication import keyring
from tenancy.authentication.keyring import KEYRING, Keyring
from tenancy.models import Credential
from tenancy.testing import Caller

ACTOR = Actor(kind="user", id="1", label="alice")


@pytest.fixture
def environment(db):
    organization = services.create_organization(actor=ACTOR, slug="acme", name="Acme")
    project = services.create_project(actor=ACTOR, organization=organization, key="web", name="Web")
    return services.create_environment(actor=ACTOR, project=project, key="production", name="Production")


def _issue(environment, **given):
    return services.issue_credential(
        actor=ACTOR,
        kind="server",
        name="checkout service",
        organization=environment.project.organization,
        environment=environment,
        **given,
    )


def test_issue_credential__works(environment):
    issued = _issue(environment)

    stored = Credential.objects.get()
    assert issued.secret.startswith(f"{stored.prefix}")
    assert stored.prefix.startswith("fs_server_")
    assert credentials.matches(issued.secret, bytes(stored.secret_hash))
    assert issued.secret not in str(vars(stored))
    entry = Entry.objects.get(action="credential.created")
    assert issued.secret not in str(vars(entry))
    keyring = Keyring()
    keyring.refresh()
    assert keyring.find(issued.secret).environment_id == environment.pk


@pytest.mark.parametrize("change", ["x", "", "fs_server_zzzzzzzz"])
def test_find__wrong_secret__is_nothing(environment, change):
    issued = _issue(environment)
    keyring = Keyring()
    keyring.refresh()

    assert keyring.find(issued.secret[:-1] + ("A" if issued.secret[-1] != "A" else "B")) is None
    assert keyring.find(change) is None


def test_find__revoked__is_gone_after_a_refresh(environment):
    issued = _issue(environment)
    keyring = Keyring()
    keyring.refresh()
    services.revoke_credential(actor=ACTOR, credential=issued.credential, reason="leaked")
    keyring.refresh()

    assert keyring.find(issued.secret) is None
    assert Entry.objects.get(action="credential.revoked").reason == "leaked"


def test_find__expired__is_nothing_without_a_refresh(environment):
    issued = _issue(environment, expires_at=timezone.now() - timedelta(seconds=1))
    keyring = Keyring()
    keyring.refresh()

    assert keyring.find(issued.secret) is None


def test_find__found_before_and_revoked_since__is_nothing_after_a_refresh(environment):
    issued = _issue(environment)
    keyring = Keyring()
    keyring.refresh()
    assert keyring.find(issued.secret).id == issued.credential.pk

    services.revoke_credential(actor=ACTOR, credential=issued.credential)
    keyring.refresh()

    assert keyring.find(issued.secret) is None


def test_take_used__after_two_finds__names_the_key_once(environment):
    issued = _issue(environment)
    keyring = Keyring()
    keyring.refresh()
    keyring.find(issued.secret)
    keyring.find(issued.secret)

    assert list(keyring.take_used()) == [issued.credential.pk]
    assert keyring.take_used() == {}


def test_issue__over_http_with_an_expiry_that_has_passed__is_refused(admin):
    sent = {"kind": "server", "name": "x", "environment": "production", "expiresAt": "2001-01-01T00:00:00Z"}
    response = admin.post("credentials", sent)

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "expiresAt")
    assert not Credential.objects.filter(name="x").exists()


@pytest.mark.django_db
def test_credential__made_a_moment_ago_elsewhere__works_at_once_and_guesses_are_bounded(
    environment, person, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(keyring, "MISSES_A_MINUTE", 5)
    organization = environment.project.organization
    KEYRING.refresh()
    issued = services.issue_credential(
        actor=ACTOR, kind="manage", name="new", organization=organization, user=person("viewer", organization)
    )

    assert Caller(issued.secret, organization.slug).get("flags").status_code == 200
    with django_assert_max_num_queries(5):
        guesses = {Caller(credentials.generate("manage").text).get("flags").status_code for _ in range(30)}
    assert guesses == {401}
