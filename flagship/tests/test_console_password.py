"""Guesses of a password in the console: counted at the door and where it is changed; too many are said to be."""

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from tenancy import services
from tenancy.models import Organization, User
from tenancy.roles import Role
from tenancy.testing import ALICE

OLD, NEW = "correct horse battery", "staple the horse again"
TOO_MANY, WRONG = "Too many wrong attempts", "Your old password was entered incorrectly"


@pytest.fixture
def olga(console_owner, settings):
    """Signed in, with two wrong attempts left to her name."""
    settings.LOGIN_ATTEMPTS = 2
    person = User.objects.get(username="olga")
    person.set_password(OLD)
    person.save()
    console_owner.force_login(person, backend="tenancy.backends.ThrottledBackend")
    cache.delete_pattern("*")
    yield console_owner
    cache.delete_pattern("*")


def change(client, old):
    sent = {"old_password": old, "new_password1": NEW, "new_password2": NEW}
    return client.post(reverse("admin:password_change"), sent)


def sign_in(name, password):
    return Client().post(reverse("admin:login"), {"username": name, "password": password})


def test_change__too_many_guesses__refuses_even_the_right_one_and_locks_the_door_too(olga):
    assert [WRONG in change(olga, guess).text for guess in ("a", "b")] == [True, True]

    refused = change(olga, OLD)

    assert TOO_MANY in refused.text
    assert User.objects.get(username="olga").check_password(OLD)
    assert TOO_MANY in sign_in("olga", OLD).text


def test_change__guesses_at_the_door__count_here_too(olga):
    for guess in ("a", "b"):
        sign_in("olga", guess)

    assert TOO_MANY in change(olga, OLD).text


def test_change__right_one_in_time__forgets_the_wrong_ones(olga):
    change(olga, "a")
    assert change(olga, OLD).status_code == 302

    assert [WRONG in change(olga, guess).text for guess in ("a", "b")] == [True, True]


def test_sign_in__locked_out__is_said_of_names_that_nobody_has_too(olga):
    for guess in ("a", "b"):
        sign_in("nobody", guess)

    assert TOO_MANY in sign_in("nobody", "c").text
    assert TOO_MANY not in sign_in("olga", "a").text


def test_sign_in__locked_out__is_audited_once_in_each_organization_without_what_was_typed(olga, globex):
    services.add_member(
        actor=ALICE, user=User.objects.get(username="olga"), role=Role.VIEWER, organization=globex.project.organization
    )
    for guess in ("hunter2", "hunter3", "hunter4"):
        sign_in("Olga", guess)

    entries = Entry.objects.filter(action="person.locked_out")
    assert {entry.organization_id for entry in entries} == {
        Organization.objects.get(slug=slug).pk for slug in ("acme", "globex")
    }
    for entry in entries:
        assert (entry.entity_type, entry.entity_key, entry.actor_label) == ("person", "olga", "system (sign-in)")
        assert entry.after == {"wrongAttempts": 2, "lastFrom": "127.0.0.1"}
        assert entry.request_id
    assert len(entries) == 2


def test_sign_in__name_that_nobody_has__leaves_nothing_in_the_log(olga):
    for guess in ("a", "b", "c"):
        sign_in("nobody", guess)

    assert not Entry.objects.filter(action__endswith="locked_out").exists()


def test_sign_in__somebody_without_an_organization__is_audited_for_the_platform(olga):
    User.objects.create_user("nora", password=OLD, is_staff=True)
    for guess in ("a", "b"):
        sign_in("nora", guess)

    assert Entry.objects.get(action="person.locked_out").organization_id is None
