"""Saved views of lists: one's own, shared within the organization, nobody else's."""

import pytest
from django.urls import reverse

from tenancy.models import Membership, SavedView
from tenancy.roles import Role
from tenancy.services.saved_views import save_view

FLAGS = "flags_flagconfig"


def listed(client, **query):
    return client.get(reverse("admin:flags_flagconfig_changelist"), query, follow=True).text


def keep(client, **sent):
    content = {"page": FLAGS, "name": "Killed", "query": "state=killed&p=2&environment=1"} | sent
    return client.post(reverse("console_view_save"), content)


def test_view__kept__is_offered_without_where_one_was(console_viewer, acme):
    assert "Keep what is shown now as" in listed(console_viewer, state="killed")
    assert "Keep what is shown now as" not in listed(console_viewer)

    answer = keep(console_viewer)

    assert answer.url == f"{reverse('admin:flags_flagconfig_changelist')}?state=killed"
    assert f'href="?environment={acme.production.pk}&amp;state=killed">Killed</a>' in listed(console_viewer)


def test_view__kept_again__is_replaced(console_viewer, acme):
    keep(console_viewer)
    keep(console_viewer, query="state=off")

    assert [view.query for view in SavedView.objects.all()] == ["state=off"]


def test_view__shared__is_offered_to_the_organization_alone(console_viewer, console_editor, console_outsider, acme):
    keep(console_viewer, is_shared="on")
    keep(console_viewer, name="Mine alone")

    assert "by vera" in listed(console_editor)
    assert "Mine alone" not in listed(console_editor)
    assert "Killed</a>" not in listed(console_outsider)


def test_view__forgotten__by_its_owner_alone(console_viewer, console_editor, acme):
    keep(console_viewer, is_shared="on")
    address = reverse("console_view_forget", args=[SavedView.objects.get().pk])

    console_editor.post(address, {"page": FLAGS})
    assert SavedView.objects.exists()
    answer = console_viewer.post(address, {"page": FLAGS})

    assert answer.url == reverse("admin:flags_flagconfig_changelist")
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("sent", [{"page": "no_list"}, {"name": ""}, {"name": "x" * 61}])
def test_view__not_understood__is_not_kept(console_viewer, acme, sent):
    assert keep(console_viewer, **sent).url == reverse("admin:index")
    assert not SavedView.objects.exists()


def test_view__of_a_page_that_somebody_may_not_see__gives_nothing_away(console_owner, console_viewer, acme):
    owner = Membership.objects.get(organization=acme.organization, role=Role.OWNER, user__username="olga").user
    save_view(
        user=owner, organization=acme.organization, page="tenancy_credential", name="Keys", query="", is_shared=True
    )

    assert "Keys</a>" not in listed(console_viewer)
    assert console_viewer.get(reverse("admin:tenancy_credential_changelist")).status_code == 403
