"""Service accounts in the console: made, given roles and secrets, switched off, deleted; and who may not."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from audit.models import Entry
from tenancy import services
from tenancy.admin.testing import signed_in
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Credential, Membership, User
from tenancy.roles import Role
from tenancy.testing import ALICE


def url(page, *arguments):
    return reverse(f"admin:tenancy_serviceaccount_{page}", args=arguments)


def exchange(client, account, secret):
    """The status of trading the secret for a token, once this process has heard of every change."""
    KEYRING.refresh()
    sent = {"clientId": account.username, "clientSecret": secret}
    return client.post("/api/auth/token", sent, content_type="application/json").status_code


@pytest.fixture
def bot(acme):
    """A service account with the role editor, and its secret as text."""
    account, issued = services.create_service_account(actor=ALICE, organization=acme.organization, name="deploy-bot")
    services.add_member(actor=ALICE, user=account, role=Role.EDITOR, organization=acme.organization)
    account.secret = issued.secret
    yield account
    # Wrong secrets are counted there.
    cache.delete_pattern("*")


@pytest.fixture
def console_admin(acme, person):
    return signed_in(person(Role.ADMIN, acme.organization, "adam"))


def test_list__nothing_there__teaches_and_offers_the_first(console_admin):
    page = console_admin.get(url("changelist"))

    assert "No service accounts yet" in page.text
    assert url("add") in page.text


def test_list__shows_roles_and_secrets(console_admin, bot):
    text = console_admin.get(url("changelist")).text

    assert "deploy-bot@" in text
    assert "editor of everything" in text


def test_list__many__asks_no_more_often(console_admin, acme, bot, django_assert_max_num_queries):
    for index in range(10):
        account, _ = services.create_service_account(actor=ALICE, organization=acme.organization, name=f"bot-{index}")
        services.add_member(actor=ALICE, user=account, role=Role.VIEWER, organization=acme.organization)
    console_admin.get(url("changelist"))

    with django_assert_max_num_queries(14):
        assert "bot-9@" in console_admin.get(url("changelist")).text


def test_add__makes_the_account_its_role_and_a_secret_shown_once(console_admin, acme, client):
    answer = console_admin.post(
        url("add"), {"name": "ci", "role": "editor", "scope": f"e{acme.production.pk}"}, follow=True
    )

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    account = User.objects.get(username=f"ci@{acme.organization.slug}")
    assert Membership.objects.get(user=account).environment == acme.production
    secret = answer.context["issued"].secret
    assert secret in answer.text
    assert "data-copy" in answer.text
    assert exchange(client, account, secret) == 200
    assert secret not in console_admin.get(url("change", account.pk)).text
    assert Entry.objects.get(action="service_account.created").actor_label == "adam"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"name": "No Spaces"}, "name"), ({"name": "deploy-bot"}, "name"), ({"role": "owner"}, "role")],
)
def test_add__wrong_input__says_so_beside_the_field(console_admin, acme, bot, changes, field):
    sent = {"name": "ci", "role": "editor", "scope": f"o{acme.organization.pk}", **changes}

    answer = console_admin.post(url("add"), sent)

    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert User.objects.filter(service_of__isnull=False).count() == 1


def test_page__says_what_it_may_and_which_secrets_it_has(console_admin, bot):
    text = console_admin.get(url("change", bot.pk)).text

    assert "Editor" in text
    assert Credential.objects.get(user=bot).prefix in text
    for page in ("role", "secret", "off", "delete"):
        assert url(page, bot.pk) in text
        assert console_admin.get(url(page, bot.pk)).status_code == 200


def test_role__is_given(console_admin, acme, bot):
    sent = {"role": "admin", "scope": f"e{acme.staging.pk}"}

    assert console_admin.post(url("role", bot.pk), sent).status_code == 302

    assert Membership.objects.get(user=bot, environment=acme.staging).role == "admin"


def test_secret__second_one__works_beside_the_first(console_admin, bot, client):
    answer = console_admin.post(url("secret", bot.pk), {"name": "pipeline"}, follow=True)

    assert exchange(client, bot, answer.context["issued"].secret) == 200
    assert exchange(client, bot, bot.secret) == 200


def test_secret__of_an_account_above_ones_own_role__is_refused(console_admin, acme, bot):
    services.add_member(
        actor=ALICE, user=bot, role=Role.OWNER, organization=acme.organization,
        project=acme.project, environment=acme.production,
    )  # fmt: skip

    assert url("secret", bot.pk) not in console_admin.get(url("change", bot.pk)).text
    assert console_admin.post(url("secret", bot.pk), {"name": "mine"}).status_code == 403
    assert Credential.objects.filter(user=bot).count() == 1
    assert url("delete", bot.pk) not in console_admin.get(url("change", bot.pk)).text
    assert console_admin.post(url("delete", bot.pk), {"reason": "mine"}).status_code == 403
    assert User.objects.filter(pk=bot.pk).exists()


def test_off__revokes_every_secret_and_keeps_the_roles(console_admin, bot, client):
    assert "1 secret will be revoked for good" in console_admin.get(url("off", bot.pk)).text

    assert exchange(client, bot, bot.secret) == 200

    console_admin.post(url("off", bot.pk), {"reason": "Leaked"})

    assert exchange(client, bot, bot.secret) == 401
    assert Membership.objects.filter(user=bot).exists()
    assert Entry.objects.get(action="credential.revoked").reason == "Leaked"
    assert "switched off" in console_admin.get(url("change", bot.pk)).text


def test_delete__says_what_goes_with_it_and_does_it(console_admin, bot, client):
    text = console_admin.get(url("delete", bot.pk)).text
    assert "1 secret and 1 role are taken away (last used: never)" in text

    assert exchange(client, bot, bot.secret) == 200

    console_admin.post(url("delete", bot.pk), {"reason": "Done"})

    assert not User.objects.filter(pk=bot.pk).exists()
    assert exchange(client, bot, bot.secret) == 401
    assert Entry.objects.get(action="service_account.deleted").reason == "Done"


@pytest.mark.parametrize("persona", ["console_viewer", "console_editor", "console_outsider"])
def test_everybody_else__neither_sees_nor_does_anything(request, bot, persona):
    client = request.getfixturevalue(persona)

    assert (url("changelist") in client.get("/admin/", follow=True).text) == (persona == "console_outsider")
    assert "deploy-bot" not in client.get(url("changelist")).text
    for page in ("change", "role", "secret", "off", "delete"):
        for answer in (client.get(url(page, bot.pk)), client.post(url(page, bot.pk), {"reason": "x", "name": "x"})):
            assert answer.status_code in {403, 404}, page
    assert User.objects.filter(pk=bot.pk).exists()
    assert Credential.objects.filter(user=bot, revoked_at__isnull=True).count() == 1
