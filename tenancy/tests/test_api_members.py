"""Members, service accounts, credentials and JWTs over HTTP."""

import time

import jwt
import pytest
from django.core.cache import cache
from django.test import Client

from audit.models import Entry
from tenancy.authentication import tokens
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Credential, Membership, Organization, User
from tenancy.testing import Caller
from tenancy.tests.test_api_organizations import problem


@pytest.fixture
def deploy_bot(admin):
    """A service account's id and secret, and a function that makes a client of its JWT."""
    body = admin.post("service-accounts", {"name": "deploy-bot", "role": "editor"}).json()
    KEYRING.refresh()
    yield body
    cache.delete_pattern("*")


def _token(body, **changed):
    sent = {"clientId": body["clientId"], "clientSecret": body["clientSecret"], **changed}
    return Client().post("/api/auth/token", sent, content_type="application/json")


def test_members__new_person__may_sign_in_and_has_the_role(admin, organization):
    made = admin.post(
        "members", {"username": "olga", "password": "correct horse battery", "role": "editor", "email": "o@acme.test"}
    )

    assert (made.status_code, made.json()["role"]) == (201, "editor")
    user = User.objects.get(username="olga")
    assert user.check_password("correct horse battery")
    assert user.is_staff
    assert "horse" not in str(list(Entry.objects.values()))
    listed = admin.get("members").json()["results"]
    assert ("olga", "editor") in [(row["username"], row["role"]) for row in listed]


def test_members__existing_person__gets_a_role_on_a_project(admin, organization, project):
    User.objects.create(username="olga")
    made = admin.post("members", {"username": "olga", "role": "viewer", "project": "web"})

    assert (made.status_code, made.json()["project"]) == (201, "web")
    assert Membership.objects.get(user__username="olga").project == project


@pytest.mark.parametrize(
    ("body", "status", "attr", "code"),
    [
        ({"username": "nobody", "role": "viewer"}, 400, "username", "unknown_user"),
        ({"username": "olga", "role": "king"}, 400, "role", "invalid_choice"),
        ({"username": "olga", "role": "viewer", "password": "1234"}, 400, "password", "weak"),
        ({"username": "olga", "role": "viewer", "project": "nope"}, 404, None, "not_found"),
        ({"username": "admin-of-acme", "role": "viewer"}, 409, None, "member_exists"),
        ({"username": "admin-of-acme", "role": "viewer", "password": "correct horse b"}, 409, "username", "key_exists"),
        ({"username": "olga", "role": "owner", "password": "correct horse b"}, 403, None, "permission_denied"),
    ],
)
def test_members__bad_input__is_refused_by_name(admin, body, status, attr, code):
    found = admin.post("members", body).json()["errors"][0]

    assert (found["attr"], found["code"]) == (attr, code)
    assert admin.post("members", body).status_code == status
    assert not User.objects.filter(username="olga").exists()


def test_member__role_changed__and_taken_away(owner, person, organization):
    user = person("viewer", organization, "olga")
    member = user.memberships.get()
    changed = owner.patch(f"members/{member.pk}", {"role": "admin", "version": 1})

    assert (changed.json()["role"], changed.json()["version"]) == ("admin", 2)
    assert problem(owner.patch(f"members/{member.pk}", {"role": "viewer", "version": 1}))[2] == "version_conflict"
    assert owner.delete(f"members/{member.pk}").status_code == 204
    actions = Entry.objects.filter(entity_key="olga").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["member.added", "member.updated", "member.removed"]


def test_member__last_owner__stays(owner):
    member = Membership.objects.get(role="owner")

    assert problem(owner.delete(f"members/{member.pk}")) == (409, "role", "last_owner")
    assert problem(owner.patch(f"members/{member.pk}", {"role": "viewer", "version": 1}))[2] == "last_owner"


def test_member__role_above_ones_own__is_403(admin, person, organization):
    member = person("owner", organization, "boss").memberships.get()

    assert admin.delete(f"members/{member.pk}").status_code == 403
    assert admin.patch(f"members/{member.pk}", {"role": "viewer", "version": 1}).status_code == 403


def test_member__of_another_tenant__is_404(admin, outsider):
    member = Membership.objects.get(user__username="owner-of-globex")

    assert admin.get(f"members/{member.pk}").status_code == 404
    assert admin.delete(f"members/{member.pk}").status_code == 404


def test_service_account__token__acts_with_its_role(deploy_bot, environment):
    response = _token(deploy_bot)
    body = response.json()
    bot = Caller(body["accessToken"], "acme")

    assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 3600)
    assert response.headers["Cache-Control"] == "no-store"
    assert bot.post("flags", {"key": "a"}).status_code == 201
    assert bot.post("projects", {"key": "x", "name": "X"}).status_code == 403
    entry = Entry.objects.get(action="flag.created")
    assert (entry.actor_label, entry.credential) == ("deploy-bot@acme", deploy_bot["clientSecret"][:18])


def test_service_account__without_tenant_header__is_400(deploy_bot):
    bot = Caller(_token(deploy_bot).json()["accessToken"])

    assert problem(bot.get("flags")) == (400, "X-Tenant-ID", "tenant_required")
    assert Caller(bot.secret, "globex").get("flags").status_code == 403


@pytest.mark.parametrize("changed", [{"clientId": "other@acme"}, {"clientSecret": "fs_manage_wrong"}])
def test_service_account__wrong_secret__is_401(deploy_bot, changed):
    response = _token(deploy_bot, **changed)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, "authentication_failed")


def test_service_account__too_many_wrong_secrets__is_429_even_for_the_right_one(deploy_bot, settings):
    settings.LOGIN_ATTEMPTS = 3
    for _ in range(3):
        assert _token(deploy_bot, clientSecret="fs_manage_wrong").status_code == 401
    response = _token(deploy_bot)

    entry = Entry.objects.get(action="service_account.locked_out")
    assert (entry.entity_key, entry.organization_id) == ("deploy-bot@acme", Organization.objects.get(slug="acme").pk)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "300")
    assert response.json()["errors"][0]["code"] == "rate_limited"


def test_service_account__secret_revoked__ends_its_tokens(deploy_bot, admin):
    bot = Caller(_token(deploy_bot).json()["accessToken"], "acme")
    credential = Credential.objects.get(user__username="deploy-bot@acme")
    assert bot.get("flags").status_code == 200
    admin.delete(f"credentials/{credential.pk}")
    KEYRING.refresh()

    assert bot.get("flags").status_code == 401


def test_service_account__deleted__ends_its_tokens(deploy_bot, admin):
    bot = Caller(_token(deploy_bot).json()["accessToken"], "acme")
    assert admin.delete("service-accounts/deploy-bot@acme").status_code == 204
    KEYRING.refresh()

    assert bot.get("flags").status_code == 401
    assert Entry.objects.filter(action="service_account.deleted").exists()


def test_service_account__with_a_role_above_ones_own__is_not_deleted(deploy_bot, admin, owner, environment):
    account = User.objects.get(username="deploy-bot@acme")
    scope = {"project": environment.project.key, "environment": environment.key}
    assert owner.post("members", {"username": account.username, "role": "owner", **scope}).status_code == 201

    assert admin.delete("service-accounts/deploy-bot@acme").status_code == 403
    assert owner.delete("service-accounts/deploy-bot@acme").status_code == 204


def test_service_account__last_owner__is_not_deleted(deploy_bot, owner, organization):
    account = User.objects.get(username="deploy-bot@acme")
    account.memberships.update(role="owner")
    Membership.objects.filter(organization=organization, role="owner", project=None).exclude(user=account).delete()
    bot = Caller(_token(deploy_bot).json()["accessToken"], "acme")

    refused = bot.delete("service-accounts/deploy-bot@acme")
    assert problem(refused)[0] == 409
    assert User.objects.filter(pk=account.pk).exists()


def _forged(deploy_bot, **claims):
    prefix = deploy_bot["clientSecret"][:18]
    account = User.objects.get(username=deploy_bot["clientId"])
    now = int(time.time())
    return {"iss": "flagship", "sub": str(account.pk), "key": prefix, "iat": now, "exp": now + 60, **claims}


def test_jwt__forged_expired_or_unsigned__is_401(deploy_bot):
    good = jwt.encode(_forged(deploy_bot), tokens._signing_key(), algorithm="HS256")
    assert Caller(good, "acme").get("flags").status_code == 200
    for text in (
        jwt.encode(_forged(deploy_bot), "x" * 32, algorithm="HS256"),
        jwt.encode(_forged(deploy_bot), None, algorithm="none"),
        jwt.encode(_forged(deploy_bot, exp=1), tokens._signing_key(), algorithm="HS256"),
        jwt.encode(_forged(deploy_bot, sub="1"), tokens._signing_key(), algorithm="HS256"),
        jwt.encode(_forged(deploy_bot, key=["x"]), tokens._signing_key(), algorithm="HS256"),
        "a.b.c",
    ):
        assert Caller(text, "acme").get("flags").status_code == 401


def test_credentials__server_key__is_shown_once(admin, environment):
    made = admin.post(
        "credentials",
        {"kind": "server", "name": "checkout", "environment": "production", "expiresAt": "2099-01-01T00:00:00Z"},
    )
    body = made.json()

    assert made.status_code == 201
    assert body["secret"].startswith(body["prefix"])
    assert "secret" not in admin.get(f"credentials/{body['id']}").json()
    assert body["secret"] not in admin.get("credentials").content.decode()
    assert [row["kind"] for row in admin.get("credentials", kind="server").json()["results"]] == ["server"]
    assert admin.delete(f"credentials/{body['id']}").json()["revokedAt"] is not None


def test_credentials__own_token__works_for_a_viewer_who_sees_no_other(viewer, admin, environment):
    admin.post("credentials", {"kind": "server", "name": "checkout", "environment": "production"})
    made = viewer.post("credentials", {"kind": "manage", "name": "laptop"})

    assert made.status_code == 201
    assert {row["username"] for row in viewer.get("credentials").json()["results"]} == {"viewer-of-acme"}
    other = Credential.objects.get(kind="server")
    assert viewer.get(f"credentials/{other.pk}").status_code == 404
    assert viewer.delete(f"credentials/{other.pk}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "attr"),
    [
        ({"kind": "server", "name": "x"}, 400, "environment"),
        ({"kind": "gold", "name": "x"}, 400, "kind"),
        ({"kind": "server", "name": "x", "environment": "nope"}, 404, None),
        ({"kind": "manage", "name": "x", "environment": "production"}, 400, "environment"),
        ({"kind": "manage", "name": "x", "username": "viewer-of-acme"}, 400, "username"),
        ({"kind": "server", "name": "x", "environment": "production", "expiresAt": "soon"}, 400, "expiresAt"),
    ],
)
def test_credentials__bad_input__is_refused_by_name(admin, body, status, attr):
    response = admin.post("credentials", body)

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (status, attr)


def test_session__tenant_header__chooses_the_organization(person, environment, globex):
    user = person("editor", environment.project.organization, "olga")
    client = Client()
    client.force_login(user)

    assert client.get("/api/flags").status_code == 200
    assert client.get("/api/flags", headers={"X-Tenant-ID": "acme"}).status_code == 200
    assert client.get("/api/flags", headers={"X-Tenant-ID": "globex"}).status_code == 404
    assert Client(enforce_csrf_checks=True).post("/api/flags").status_code == 401
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post("/api/flags", {"key": "a"}, content_type="application/json").status_code == 403


def test_sign_in__too_many_wrong_passwords__locks_the_name_out(db, settings):
    settings.LOGIN_ATTEMPTS = 2
    User.objects.create_user("olga", password="correct horse battery", is_staff=True)

    def signs_in(password):
        response = Client().post("/admin/login/", {"username": "olga", "password": password})
        return "sessionid" in response.cookies

    assert signs_in("correct horse battery")
    assert not signs_in("wrong")
    assert not signs_in("wrong again")
    assert not signs_in("correct horse battery")
    cache.delete_pattern("*")
    assert signs_in("correct horse battery")
    cache.delete_pattern("*")


def test_sign_in__service_account__never_gets_in(deploy_bot):
    account = User.objects.get(username=deploy_bot["clientId"])
    account.set_password("correct horse battery")
    account.is_staff = True
    account.save()
    response = Client().post("/admin/login/", {"username": account.username, "password": "correct horse battery"})

    assert "sessionid" not in response.cookies


def test_last_used__is_written_by_the_refresh_and_not_by_the_request(viewer, monkeypatch, django_assert_num_queries):
    credential = Credential.objects.get(user__username="viewer-of-acme")
    viewer.get("flags")
    assert credential.last_used_at is None
    monkeypatch.setattr(KEYRING, "_used_written_at", time.monotonic() - 61)
    with django_assert_num_queries(2):
        KEYRING.refresh()

    credential.refresh_from_db()
    assert credential.last_used_at is not None


def test_members__a_role_there_is_not__is_refused_with_those_there_are(owner):
    answer = owner.post("members", {"username": "olga", "role": "king"})
    assert answer.json()["errors"][0]["detail"] == "Use one of: owner, admin, editor, viewer."
