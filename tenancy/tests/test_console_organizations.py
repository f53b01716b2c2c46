"""Projects and environments changed and deleted in the console, through the services, by their admins alone."""

import pytest
from django.urls import reverse

from audit.models import Entry
from tenancy import services
from tenancy.models import Environment, Project
from tenancy.testing import ALICE


def url(page, thing):
    return reverse(f"admin:tenancy_{thing._meta.model_name}_{page}", args=[thing.pk])


def test_environment__changed__is_saved_and_audited(console_owner, acme):
    staging = acme.staging
    assert "Save" in console_owner.get(url("change", staging)).text

    sent = {"name": "Preview", "isProduction": "on", "version": staging.version}
    assert console_owner.post(url("change", staging), sent).status_code == 302

    staging.refresh_from_db()
    assert (staging.name, staging.is_production) == ("Preview", True)
    assert Entry.objects.get(action="environment.updated").actor_label == "olga"


def test_environment__changed_meanwhile__says_so_and_overwrites_nothing(console_owner, acme):
    staging = acme.staging
    services.update_environment(actor=ALICE, environment=staging, payload={"name": "Theirs"}, version=staging.version)

    answer = console_owner.post(url("change", staging), {"name": "Mine", "version": staging.version})

    assert answer.status_code == 422
    assert "Read it again" in answer.context["form"].non_field_errors()[0]
    staging.refresh_from_db()
    assert staging.name == "Theirs"


def test_environment__deleted__says_what_goes_first(console_owner, acme):
    assert "cannot be brought back" in " ".join(console_owner.get(url("delete", acme.staging)).text.split())

    assert console_owner.post(url("delete", acme.staging), {"reason": "Unused"}).status_code == 302

    assert not Environment.objects.filter(pk=acme.staging.pk).exists()
    assert Entry.objects.get(action="environment.deleted").reason == "Unused"


def test_environment__with_a_live_key__is_not_deleted(console_owner, acme):
    services.issue_credential(
        actor=ALICE, kind="server", name="till", organization=acme.organization, environment=acme.staging
    )

    answer = console_owner.post(url("delete", acme.staging))

    assert answer.status_code == 422
    assert "Revoke these keys first" in answer.text
    assert Environment.objects.filter(pk=acme.staging.pk).exists()


def test_project__changed_and_deleted__works_once_it_is_empty(console_owner, acme):
    project = acme.project
    assert "it has environments" in console_owner.get(url("delete", project)).text
    assert console_owner.post(url("delete", project)).status_code == 422

    sent = {"name": "Shop", "version": project.version}
    assert console_owner.post(url("change", project), sent).status_code == 302

    project.refresh_from_db()
    assert project.name == "Shop"
    for environment in (acme.production, acme.staging):
        services.delete_environment(actor=ALICE, environment=environment)
    assert console_owner.post(url("delete", project)).status_code == 302
    assert not Project.objects.filter(pk=project.pk).exists()


@pytest.mark.parametrize(
    ("persona", "status"), [("console_viewer", 403), ("console_editor", 403), ("console_outsider", 404)]
)
def test_below_admin__neither_changes_nor_deletes(request, acme, persona, status):
    client = request.getfixturevalue(persona)

    for thing in (acme.project, acme.staging):
        page = client.get(url("change", thing))
        assert (page.status_code, url("delete", thing) in page.text) == (302 if status == 404 else 200, False)
        assert client.post(url("delete", thing)).status_code == status
        assert client.post(url("change", thing), {"name": "x", "version": 1}).status_code in {302, 403}
        thing.refresh_from_db()
        assert thing.name != "x"
