"""Members in the console: added with or without an account, changed, removed; and who may not."""

import pytest
from django.urls import reverse

from audit.models import Entry
from tenancy import services
from tenancy.models import Membership, User
from tenancy.roles import Role
from tenancy.testing import ALICE


def url(page, *arguments):
    return reverse(f"admin:tenancy_membership_{page}", args=arguments)


@pytest.fixture
def nina(acme, person):
    return Membership.objects.get(user=person("viewer", acme.organization, "nina"))


def test_add__somebody_new__makes_the_account_and_the_role(console_owner, acme):
    sent = {"user": "noah", "password": "a long enough one", "role": "editor", "scope": f"o{acme.organization.pk}"}

    answer = console_owner.post(url("add"), sent)

    assert answer.status_code == 302
    user = User.objects.get(username="noah")
    assert user.check_password("a long enough one")
    assert Membership.objects.get(user=user).role == "editor"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"user": "nobody"}, "user"), ({"user": "nina", "password": "something long"}, "user"),
     ({"user": "noah", "password": "short"}, "password")],
)  # fmt: skip
def test_add__wrong_input__says_so_beside_the_field(console_owner, acme, nina, changes, field):
    sent = {"role": "editor", "scope": f"o{acme.organization.pk}", **changes}

    answer = console_owner.post(url("add"), sent)

    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert not User.objects.filter(username="noah").exists()


def test_change__role__works(console_owner, nina):
    answer = console_owner.post(url("change", nina.pk), {"role": "admin", "version": nina.version})

    assert answer.status_code == 302
    nina.refresh_from_db()
    assert nina.role == "admin"
    assert Entry.objects.get(action="member.updated").actor_label == "olga"


def test_change__role_changed_meanwhile__shows_theirs_and_asks_again(console_owner, nina):
    services.change_member(actor=ALICE, membership=nina, role=Role.EDITOR, version=nina.version)

    answer = console_owner.post(url("change", nina.pk), {"role": "admin", "version": nina.version})

    assert answer.status_code == 409
    conflict = answer.context["conflict"]
    assert (conflict["who"], conflict["both"]) == (ALICE.label, ["role"])
    assert [(change["before"], change["after"]) for change in conflict["changes"]] == [("viewer", "editor")]
    form = answer.context["form"]
    assert form["role"].value() == "admin"
    sent = {"role": "admin", "version": form["version"].value()}
    assert console_owner.post(url("change", nina.pk), sent).status_code == 302
    nina.refresh_from_db()
    assert nina.role == "admin"


def test_remove__works(console_owner, nina):
    assert "ends at once" in console_owner.get(url("remove", nina.pk)).text

    console_owner.post(url("remove", nina.pk), {"reason": "Left"})

    assert not Membership.objects.filter(pk=nina.pk).exists()
    assert Entry.objects.get(action="member.removed").reason == "Left"


def test_remove__last_owner__is_refused_with_what_to_do(console_owner):
    mine = Membership.objects.get(user__username="olga")

    answer = console_owner.post(url("remove", mine.pk))

    assert answer.status_code == 409
    assert "make somebody else an owner first" in answer.text
    assert Membership.objects.filter(pk=mine.pk).exists()


@pytest.mark.parametrize("persona", ["console_editor", "console_viewer"])
def test_below_admin__sees_and_may_not_change(request, nina, persona):
    client = request.getfixturevalue(persona)

    assert "Remove…" not in client.get(url("change", nina.pk)).text
    assert client.post(url("remove", nina.pk)).status_code == 403
    changed = client.post(url("change", nina.pk), {"role": "owner", "version": nina.version})
    assert changed.status_code == 403
    nina.refresh_from_db()
    assert nina.role == "viewer"


def test_admin__may_not_touch_an_owner(acme, console_owner, person):
    from tenancy.admin.testing import signed_in  # noqa: PLC0415 - one persona more, for this test alone

    client = signed_in(person("admin", acme.organization, "adam"))
    owner = Membership.objects.get(user__username="olga")

    assert client.post(url("remove", owner.pk)).status_code == 403
    assert client.post(url("change", owner.pk), {"role": "viewer", "version": owner.version}).status_code == 403


def test_outsider__finds_nothing(console_outsider, nina):
    assert console_outsider.get(url("change", nina.pk)).status_code == 404
    assert console_outsider.post(url("remove", nina.pk)).status_code in {403, 404}
    assert Membership.objects.filter(pk=nina.pk).exists()
