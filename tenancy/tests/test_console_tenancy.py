"""The console's pages for tenants: each role sees its own, and what is made there is made by the services."""

import pytest
from django.urls import reverse

from audit.models import Entry
from tenancy import services
from tenancy.admin.testing import signed_in
from tenancy.models import Credential, Environment, Membership, Project
from tenancy.testing import ALICE


def listed(client, model):
    return client.get(reverse(f"admin:{model}_changelist"))


@pytest.fixture
def key(acme):
    return services.issue_credential(
        actor=ALICE, kind="server", name="checkout service", organization=acme.organization, environment=acme.production
    )


@pytest.mark.parametrize(
    "model", ["tenancy_organization", "tenancy_project", "tenancy_environment", "tenancy_membership"]
)
def test_lists__member__sees_the_own_tenant_alone(console_viewer, console_outsider, model):
    page = listed(console_viewer, model)

    assert page.status_code == 200
    assert "Acme" in page.text or "Web" in page.text
    assert "Rival" not in page.text
    assert "oscar" not in page.text


def test_credential__issued__is_shown_once_and_never_again(console_owner, acme):
    sent = {"name": "checkout service", "belongs_to": f"e{acme.production.pk}", "kind": "server"}

    made = console_owner.post(reverse("admin:tenancy_credential_add"), sent)
    assert made.status_code == 302
    stored = dict(console_owner.session)
    shown = console_owner.get(made.url)

    secret = shown.context["issued"].secret
    assert secret not in str(stored)
    assert secret in shown.text
    assert "no-store" in shown["Cache-Control"]
    credential = Credential.objects.get()
    for page in ("changelist", "change"):
        arguments = [credential.pk] if page == "change" else []
        assert secret not in console_owner.get(reverse(f"admin:tenancy_credential_{page}", args=arguments)).text
    again = console_owner.get(made.url, follow=True)
    assert "was shown once" in again.text
    assert secret not in again.text
    assert Credential.objects.count() == 1
    assert Entry.objects.get(action="credential.created").actor_label == "olga"


def test_credential__for_an_edge__names_every_environment_that_is_chosen(console_owner, acme):
    project = acme.production.project
    staging = Environment.objects.create(project=project, key="new-one", name="New one")
    sent = {"name": "Oslo", "belongs_to": f"e{acme.production.pk}", "kind": "edge", "further": [f"e{staging.pk}"]}

    shown = console_owner.post(reverse("admin:tenancy_credential_add"), sent, follow=True)

    assert shown.context["issued"].secret.startswith("fs_edge_")
    assert set(Credential.objects.get().environments.all()) == {acme.production, staging}
    assert f"{project.key}/new-one" in console_owner.get(reverse("admin:tenancy_credential_changelist")).text
    refused = console_owner.post(reverse("admin:tenancy_credential_add"), {**sent, "kind": "client"})
    assert "Only an edge credential" in refused.text


def test_credential__management_token_for_an_environment__says_what_to_choose(console_owner, acme):
    sent = {"name": "mine", "belongs_to": f"e{acme.production.pk}", "kind": "manage"}

    answer = console_owner.post(reverse("admin:tenancy_credential_add"), sent)

    assert answer.status_code == 422
    assert "Choose yourself" in answer.text
    assert not Credential.objects.exists()


def test_credential__revoked__works(console_owner, key):
    url = reverse("admin:tenancy_credential_revoke", args=[key.credential.pk])
    assert "refused within seconds" in console_owner.get(url).text

    console_owner.post(url, {"reason": "Leaked"})

    key.credential.refresh_from_db()
    assert key.credential.revoked_at is not None
    assert Entry.objects.get(action="credential.revoked").reason == "Leaked"


@pytest.mark.parametrize("persona", ["console_editor", "console_viewer"])
def test_credentials__below_admin__are_not_there(request, key, persona):
    client = request.getfixturevalue(persona)

    assert listed(client, "tenancy_credential").status_code == 403
    assert client.get(reverse("admin:tenancy_credential_add")).status_code == 403
    assert "Keys and tokens" not in client.get(reverse("admin:index"), follow=True).text


def test_credential__of_another_tenant__is_not_found(console_outsider, key):
    shown = console_outsider.get(reverse("admin:tenancy_credential_change", args=[key.credential.pk]))
    revoked = console_outsider.post(reverse("admin:tenancy_credential_revoke", args=[key.credential.pk]))

    assert shown.status_code == 404
    assert revoked.status_code == 404
    key.credential.refresh_from_db()
    assert key.credential.revoked_at is None


def test_project_and_environment__owner__are_created(console_owner, acme):
    made = console_owner.post(
        reverse("admin:tenancy_project_add"), {"organization": acme.organization.pk, "name": "App", "key": "app"}
    )
    project = Project.objects.get(key="app")
    sent = {"project": project.pk, "name": "Production", "key": "production", "is_production": "on", "exposures": "all"}
    console_owner.post(reverse("admin:tenancy_environment_add"), sent)

    assert made.status_code == 302
    assert Environment.objects.get(project=project).is_production
    assert Entry.objects.filter(action="environment.created", project="app").exists()


def test_environment__key_taken__says_so_beside_the_key(console_owner, acme):
    sent = {"project": acme.project.pk, "name": "Again", "key": "staging", "exposures": "all"}

    answer = console_owner.post(reverse("admin:tenancy_environment_add"), sent)

    assert answer.status_code == 422
    assert "staging" in answer.context["form"].errors["key"][0]


def test_member__added_by_owner__works(console_owner, acme, person):
    newcomer = person("viewer", acme.organization, "nina")
    Membership.objects.filter(user=newcomer).delete()

    answer = console_owner.post(
        reverse("admin:tenancy_membership_add"), {"user": "nina", "role": "editor", "scope": f"e{acme.staging.pk}"}
    )

    assert answer.status_code == 302
    assert Membership.objects.get(user=newcomer).environment == acme.staging


@pytest.mark.parametrize("model", ["project", "environment", "membership"])
@pytest.mark.parametrize("persona", ["console_editor", "console_viewer"])
def test_adding__below_admin__is_refused_and_not_offered(request, acme, model, persona):
    client = request.getfixturevalue(persona)
    url = reverse(f"admin:tenancy_{model}_add")

    assert client.post(url, {}).status_code == 403
    assert url not in listed(client, f"tenancy_{model}").text


def test_audit__member__reads_the_own_log_with_its_diffs(console_viewer, console_outsider, acme, key):
    page = listed(console_viewer, "audit_entry")
    entry = Entry.objects.get(action="credential.created")

    assert "checkout service" in console_viewer.get(reverse("admin:audit_entry_change", args=[entry.pk])).text
    assert entry.entity_key in page.text
    assert "rival" not in page.text
    assert console_outsider.get(reverse("admin:audit_entry_change", args=[entry.pk])).status_code in {302, 404}
    for path in ("add", "delete"):
        arguments = [entry.pk] if path == "delete" else []
        assert console_viewer.post(reverse(f"admin:audit_entry_{path}", args=arguments)).status_code == 403


def test_audit__exported__holds_what_the_list_held(console_viewer, console_outsider, acme, key):
    listed = console_viewer.get(reverse("admin:audit_entry_changelist"), {"q": key.credential.prefix}).text
    link = f"{reverse('admin:audit_entry_export')}?q={key.credential.prefix}"
    assert f'href="{link}"' in listed
    answer = console_viewer.get(link)

    text = b"".join(answer.streaming_content).decode()
    assert text.splitlines()[0].startswith("occurred_at,actor_label")
    assert key.credential.prefix in text
    assert "rival" not in text
    assert len(text.splitlines()) == 2


def test_console__somebody_without_membership__sees_no_tenant(acme, person):
    user = person("viewer", acme.organization, "nobody")
    Membership.objects.filter(user=user).delete()
    client = signed_in(user)

    page = client.get(reverse("admin:index"))

    assert page.status_code == 200
    assert "not a member" in page.text
    assert listed(client, "flags_flagconfig").status_code == 403


def test_console__not_signed_in__asks_to(client, db):
    assert client.get(reverse("admin:index")).status_code == 302
