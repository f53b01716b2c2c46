"""What a page asks before it sends a form: who is signed in, and with which token."""

import pytest
from django.test import Client
from django.urls import reverse

from tenancy.models import User


def test_session__signed_in__names_the_person_and_a_token_that_lets_forms_in(console_owner):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="olga"))

    answer = strict.get(reverse("console_session"))

    said = answer.json()
    assert (said["user"], said["name"]) == (str(User.objects.get(username="olga").pk), "olga")
    assert "no-store" in answer["Cache-Control"]
    sent = {"page": "flags_flagconfig", "name": "Mine"}
    assert strict.post(reverse("console_view_save"), sent).status_code == 403
    sent["csrfmiddlewaretoken"] = said["csrfToken"]
    assert strict.post(reverse("console_view_save"), sent).status_code == 302


@pytest.mark.django_db
def test_session__nobody_signed_in__has_no_person_and_no_token():
    User.objects.create_user("visitor")
    visitor = Client()
    visitor.force_login(User.objects.get(username="visitor"))

    for client in (Client(), visitor):
        answer = client.get(reverse("console_session"))
        assert answer.json() == {"user": None}
        assert "csrftoken" not in answer.cookies
