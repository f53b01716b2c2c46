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

    sent = {"name": "Preview", "isProduction": "on", "exposures": "experiments", "version": staging.version}
    assert console_owner.post(url("change", staging), sent).status_code == 302

    staging.refresh_from_db()
    assert (staging.name, staging.is_production) == ("Preview", True)
    assert Entry.objects.get(action="environment.updated").actor_label == "olga"


def again(form):
    """What the browser sends of a form as it is shown."""
    values = {name: form[name].value() for name in form.fields}
    return {name: "on" if value is True else value for name, value in values.items() if value not in {None, False}}


def test_environment__changed_meanwhile__shows_their_change_beside_ones_own(console_owner, acme):
    staging = acme.staging
    theirs = {"name": "Theirs", "isProduction": True}
    services.update_environment(actor=ALICE, environment=staging, payload=theirs, version=staging.version)

    answer = console_owner.post(
        url("change", staging), {"name": "Mine", "exposures": "all", "version": staging.version}
    )

    assert answer.status_code == 409
    conflict = answer.context["conflict"]
    assert (conflict["who"], conflict["both"]) == (ALICE.label, ["name"])
    assert [(change["path"], change["after"]) for change in conflict["changes"]] == list(
        {"isProduction": True, "name": "Theirs"}.items()
    )
    form = answer.context["form"]
    assert (form["name"].value(), form["isProduction"].value()) == ("Mine", True)
    staging.refresh_from_db()
    assert staging.name == "Theirs"

    assert console_owner.post(url("change", staging), again(form)).status_code == 302
    staging.refresh_from_db()
    assert (staging.name, staging.is_production) == ("Mine", True)


def test_environment__made_anew_under_a_key_that_was__conflicts_with_its_own_past_alone(console_owner, acme):
    old = acme.staging
    services.update_environment(actor=ALICE, environment=old, payload={"name": "Of old"}, version=1)
    services.delete_environment(actor=ALICE, environment=old)
    made = services.create_environment(actor=ALICE, project=acme.project, key="staging", name="Anew")
    services.update_environment(actor=ALICE, environment=made, payload={"isProduction": True}, version=1)

    conflict = console_owner.post(url("change", made), {"name": "Mine", "exposures": "all", "version": 1}).context[
        "conflict"
    ]

    assert [change["path"] for change in conflict["changes"]] == ["isProduction"]


def test_project__changed_meanwhile__shows_their_change_beside_ones_own(console_owner, acme):
    project = acme.project
    services.update_project(actor=ALICE, project=project, payload={"name": "Theirs"}, version=project.version)

    answer = console_owner.post(url("change", project), {"name": "Mine", "version": project.version})

    assert answer.status_code == 409
    assert "alice changed this" in answer.text
    assert [change["before"] for change in answer.context["conflict"]["changes"]] == ["Web"]
    assert console_owner.post(url("change", project), again(answer.context["form"])).status_code == 302
    project.refresh_from_db()
    assert project.name == "Mine"


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

    assert answer.status_code == 409
    assert "Revoke these keys first" in answer.text
    assert Environment.objects.filter(pk=acme.staging.pk).exists()


def test_project__changed_and_deleted__works_once_it_is_empty(console_owner, acme):
    project = acme.project
    assert "it has environments" in console_owner.get(url("delete", project)).text
    assert console_owner.post(url("delete", project)).status_code == 409

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
        assert (page.status_code, url("delete", thing) in page.text) == (404 if status == 404 else 200, False)
        assert client.post(url("delete", thing)).status_code == status
        assert client.post(url("change", thing), {"name": "x", "version": 1}).status_code in {403, 404}
        thing.refresh_from_db()
        assert thing.name != "x"
