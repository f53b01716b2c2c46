"""Single sign-on against a real OpenID provider on this machine: who gets in, with which roles, and who does not."""

from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from flagship.tests.providers import know
from tenancy import services
from tenancy.group_roles import Grant, Scope, read_group_roles
from tenancy.group_roles import roles_of as strongest_roles
from tenancy.models import Membership, User
from tenancy.roles import Role
from tenancy.services.sign_on import sign_on
from tenancy.testing import ALICE

pytestmark = [pytest.mark.django_db]


def there(client, **query):
    """Go to the provider: its address, and what was asked of it."""
    answer = client.get(reverse("oidc_authentication_init"), query)
    assert answer.status_code == 302
    return answer.url, {name: values[0] for name, values in parse_qs(urlsplit(answer.url).query).items()}


def back(client, address, sub):
    """Sign in at the provider, and follow it back."""
    answer = requests.post(address, data={"sub": sub}, allow_redirects=False, timeout=90)
    landing = urlsplit(answer.headers["Location"])
    return client.get(landing.path, {name: values[0] for name, values in parse_qs(landing.query).items()})


def sign_in(client, sub, **query):
    address, _ = there(client, **query)
    return back(client, address, sub)


def roles_of(username):
    rows = Membership.objects.filter(user__username=username).order_by("environment_id", "id")
    return {(str(row.environment.key) if row.environment else "", row.role) for row in rows}


def test_sign_on__first_time__makes_the_account_with_its_groups_roles(sso, acme):
    know(sso, "dana", "developers", "unheard-of")
    client = Client()

    answer = sign_in(client, "dana", next="/admin/flags/flagconfig/")

    assert answer.url == "/admin/flags/flagconfig/"
    assert client.get(reverse("admin:index"), follow=True).status_code == 200
    assert roles_of("dana") == {("", "editor"), ("production", "viewer")}
    assert not User.objects.get(username="dana").has_usable_password()
    rows = Entry.objects.filter(actor_label="system (single sign-on)").order_by("id")
    done = list(rows.values_list("action", "entity_key"))
    assert done == [("person.created", "dana"), ("member.added", "dana"), ("member.added", "dana")]


def test_sign_on__groups_changed__roles_follow_and_others_stay(sso, acme):
    rival = services.create_organization(actor=ALICE, slug="rival", name="Rival")
    know(sso, "dana", "developers")
    sign_in(Client(), "dana")
    services.add_member(actor=ALICE, user=User.objects.get(username="dana"), role=Role.VIEWER, organization=rival)

    know(sso, "dana", "leads", email="dana@new.example")
    sign_in(Client(), "dana")

    held = Membership.objects.filter(user__username="dana").values_list("organization__slug", "role")
    assert set(held) == {("acme", "admin"), ("rival", "viewer")}
    assert User.objects.get(username="dana").email == "dana@new.example"


def test_sign_on__last_group_gone__role_is_taken_and_the_door_stays_shut(sso, acme):
    know(sso, "dana", "developers")
    sign_in(Client(), "dana")
    know(sso, "dana", "choir")
    client = Client()

    answer = sign_in(client, "dana")

    assert answer.url == reverse("admin:login")
    assert "_auth_user_id" not in client.session
    assert roles_of("dana") == set()
    assert "Single sign-on did not work" in client.get(answer.url).text


def test_sign_on__last_owner_without_the_group__stays_owner(sso, organization):
    know(sso, "olaf", "bosses")
    sign_in(Client(), "olaf")
    know(sso, "olaf")

    answer = sign_in(Client(), "olaf")

    assert answer.url == reverse("admin:index")
    assert roles_of("olaf") == {("", "owner")}


def test_sign_on__no_group_of_ours__leaves_no_account(sso, acme):
    know(sso, "stranger", "choir")

    answer = sign_in(Client(), "stranger")

    assert answer.url == reverse("admin:login")
    assert not User.objects.filter(username="stranger").exists()


def test_sign_on__local_account_of_that_name__is_not_taken_over(sso, acme):
    local = services.create_person(
        actor=ALICE,
        organization=acme.organization,
        username="dana",
        password="correct-horse-9",
        email="dana@example.com",
    )
    know(sso, "dana", "developers")

    sign_in(Client(), "dana")

    assert not Membership.objects.filter(user=local).exists()
    assert roles_of("dana-2") == {("", "editor"), ("production", "viewer")}


def test_sign_on__deactivated_account__is_refused(sso, acme):
    know(sso, "dana", "developers")
    sign_in(Client(), "dana")
    User.objects.filter(username="dana").update(is_active=False)

    assert sign_in(Client(), "dana").url == reverse("admin:login")


def test_request__carries_state_nonce_and_challenge(sso):
    _, first = there(Client())
    _, second = there(Client())

    assert first["code_challenge_method"] == "S256"
    assert first["scope"] == "openid email profile"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 32
        assert first[name] != second[name]


def test_callback__state_of_another_browser__is_refused(sso, acme):
    know(sso, "dana", "developers")
    address, _ = there(Client())
    victim = Client()
    there(victim)

    assert back(victim, address, "dana").status_code == 400
    assert "_auth_user_id" not in victim.session


def test_callback__code_used_twice__is_refused(sso, acme):
    know(sso, "dana", "developers")
    client = Client()
    address, _ = there(client)
    answer = requests.post(address, data={"sub": "dana"}, allow_redirects=False, timeout=90)
    landing = urlsplit(answer.headers["Location"])
    query = {name: values[0] for name, values in parse_qs(landing.query).items()}
    client.get(landing.path, query)

    assert client.get(landing.path, query).status_code == 400


@pytest.mark.parametrize(
    "changed", [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://elsewhere.example"}, {"exp": None}]
)
def test_token__not_made_for_this_login__is_refused(sso, acme, monkeypatch, changed):
    know(sso, "dana", "developers")
    genuine = jwt.decode

    def tampered(*args, **kwargs):
        payload = {**genuine(*args, **kwargs), **changed}
        return {name: value for name, value in payload.items() if value is not None}

    monkeypatch.setattr(jwt, "decode", tampered)

    assert sign_in(Client(), "dana").url == reverse("admin:login")
    assert not User.objects.filter(username="dana").exists()


def test_password__with_single_sign_on_only__opens_nothing(sso, settings, acme):
    settings.AUTHENTICATION_BACKENDS = ["tenancy.single_sign_on.SingleSignOnBackend"]
    settings.OIDC_ONLY = True
    services.create_person(actor=ALICE, organization=acme.organization, username="pat", password="correct-horse-9")
    client = Client()
    page = client.get(reverse("admin:login"))
    client.post(reverse("admin:login"), {"username": "pat", "password": "correct-horse-9"})

    assert "_auth_user_id" not in client.session
    assert 'type="password"' not in page.text
    assert reverse("oidc_authentication_init") in page.text


def test_provider__away__is_said_on_the_login_page(sso, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    client = Client()

    answer = client.get(reverse("oidc_authentication_init"))

    assert answer.url == reverse("admin:login")
    assert "does not answer" in client.get(answer.url).text


@pytest.mark.django_db
def test_single_sign_on__not_configured__is_not_there(client):
    for name in ("oidc_authentication_init", "oidc_authentication_callback"):
        assert client.get(reverse(name)).status_code == 404
    assert "single sign-on" not in client.get(reverse("admin:login")).text


def test_sign_on__unknown_place_in_the_mapping__gives_nothing(db):
    mapping = {"developers": (Grant(Scope("nowhere"), "editor"),)}

    assert sign_on(subject="x", username="x", email="", groups=["developers"], mapping=mapping) is None


@pytest.mark.parametrize(
    "value", [["acme:editor"], {"a": "acme"}, {"a": "acme:king"}, {"a": "acme/web:owner"}, {"a": "a/b/c/d:viewer"}]
)
def test_group_roles__not_understood__are_refused(value):
    with pytest.raises(ValueError, match=r"must be|has "):
        read_group_roles(value)


def test_group_roles__several__the_strongest_wins():
    mapping = read_group_roles({"a": "acme:viewer", "b": "acme:admin", "c": "acme/web:editor"})

    found = strongest_roles(["a", "b"], mapping)

    assert found == {Scope("acme"): "admin", Scope("acme", "web"): None}
