"""Guesses of a password in the console: counted at the door and where it is changed; too many are said to be."""

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from tenancy.models import User

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
