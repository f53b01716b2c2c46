"""Each role follows every link that its console pages show: none is refused, and no page fails."""

import pytest

from experiments import services as experiment_services
from flags import services
from flagship.tests.crawling import crawl
from tenancy.admin.testing import signed_in
from tenancy.models import Role
from tenancy.testing import ALICE


@pytest.fixture
def content(environment):
    """Flags on, killed and archived, experiments of each state, a segment, a layer, a metric, a key."""
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
    return environment.project.organization


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER])
def test_role__follows_every_link__none_is_refused(content, person, role):
    client = signed_in(person(role, content, "somebody"))

    statuses, posts = crawl(client)

    assert len(statuses) > 30
    assert {address: status for address, status in statuses.items() if status not in {200, 302}} == {}
    # A viewer finds no button that changes something; everybody else does.
    assert (posts == []) == (role == Role.VIEWER), posts
