"""Each role follows every link and presses every button of its console pages: none is refused, and no page fails."""

import pytest
from django.db import transaction

from approvals.services import create_request
from experiments import services as experiment_services
from flags import services
from flagship.tests.crawling import crawl
from tenancy.admin.testing import signed_in
from tenancy.callers.principals import principal_of_user
from tenancy.roles import Role
from tenancy.testing import ALICE


@pytest.fixture
def content(environment, person):
    """Flags on, killed and archived, experiments of each state, a segment, a layer, a metric, a change request."""
    half = [{"variant": "treatment", "percent": 50}]
    for key in ("new-checkout", "second", "third"):
        services.create_flag(
            actor=ALICE, environment=environment, payload={"key": key, "enabled": True, "rollout": half}
        )
    services.create_flag(actor=ALICE, environment=environment, payload={"key": "killed", "tags": ["pay"]})
    services.kill_flag(actor=ALICE, environment=environment, key="killed", variant="control", reason="Errors")
    services.create_flag(actor=ALICE, environment=environment, payload={"key": "gone"})
    services.archive_flag(actor=ALICE, environment=environment, key="gone", reason="Done")
    services.create_segment(actor=ALICE, environment=environment, payload={"key": "beta", "included": ["ann"]})
    services.create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    for key in ("new-checkout", "second", "third"):
        design = {"name": key, "flagKey": key, "primaryMetric": "purchase-rate"}
        made = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=design)
        if key != "third":
            experiment_services.start_experiment(actor=ALICE, environment=environment, pk=made.pk)
        if key == "second":
            experiment_services.complete_experiment(
                actor=ALICE, environment=environment, pk=made.pk, decision="stop", variant=None, reason="Enough"
            )
    organization = environment.project.organization
    change = {"resource": {"type": "flag", "key": "third"}, "patch": {"enabled": False}}
    author = principal_of_user(person(Role.EDITOR, organization, "author"))
    create_request(principal=author, environment=environment, payload={"title": "Off", "changes": [change]})
    return organization


def whole(environment):
    return {}


def of_project(environment):
    return {"project": environment.project}


def of_environment(environment):
    return {"project": environment.project, "environment": environment}


@pytest.mark.parametrize(
    ("role", "reach"),
    [
        # Each role, and each reach; what a role may in a smaller place it may in the whole.
        (Role.VIEWER, whole),
        (Role.OWNER, whole),
        (Role.ADMIN, whole),
        (Role.ADMIN, of_project),
        (Role.EDITOR, of_environment),
    ],
)
def test_role__follows_every_link_and_sends_every_form__none_is_refused(content, environment, person, role, reach):
    client = signed_in(person(role, content, "somebody", **reach(environment)))

    statuses, posts = crawl(client)

    assert len(statuses) > 20
    assert {address: status for address, status in statuses.items() if status not in {200, 302}} == {}
    # A viewer finds no button that changes something; everybody else does.
    assert (posts == []) == (role == Role.VIEWER), posts
    refused = [
        f"{address} {button}: {status}" for address, button, status in _sent(client, posts) if status in {403, 404}
    ]
    assert refused == []


def _sent(client, posts):
    """Press each button, as the page has it, and take back what it did."""
    for address, form in posts:
        for button in form.buttons:
            with transaction.atomic():
                answer = client.post(address, {**form.fields, **button})
                transaction.set_rollback(True)
            yield address, button, answer.status_code
