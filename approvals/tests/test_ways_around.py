"""Ways around four eyes that a reviewer tried: each is refused, or asks."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import services
from approvals.selectors import get_request, requests_in
from approvals.tests.conftest import HALF, ONE, refused
from experiments import services as experiments
from flags import services as flags
from flags.exchange.export import export_environment
from flags.selectors import get_config
from tenancy import services as tenancy
from tenancy.errors import Forbidden
from tenancy.models import Environment
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db
TENTH = {**ONE, "when": {"impactPercent": 10}}
EVERYBODY = [
    {"priority": 1, "variant": "treatment", "conditions": [{"attribute": "a", "operator": "not_equals", "value": "-"}]}
]


def write(desk, key, **payload):
    return flags.update_flag(
        actor=ALICE,
        environment=desk.environment,
        key=key,
        payload=payload,
        version=get_config(desk.environment, key).version,
    )


def test_impact__rules_prepared_while_off__ask_when_it_is_switched_on(desk, make_flag):
    make_flag("prepared", enabled=False)
    desk.policy(**TENTH)
    write(desk, "prepared", rules=EVERYBODY)

    refused(lambda: write(desk, "prepared", enabled=True), "approval_required")


def test_impact__release_of_a_kill_over_rules__asks(desk, make_flag):
    make_flag("ruled", rules=EVERYBODY)
    flags.kill_flag(actor=ALICE, environment=desk.environment, key="ruled", variant="control", reason="r")
    desk.policy(**TENTH)

    refused(
        lambda: flags.release_flag(actor=ALICE, environment=desk.environment, key="ruled", reason="r"),
        "approval_required",
    )


def test_impact__segment_with_riders__asks_as_without_them(desk, make_flag):
    flags.create_segment(actor=ALICE, environment=desk.environment, payload={"key": "beta", "included": ["ann"]})
    make_flag(
        "a",
        rules=[{"priority": 1, "variant": "treatment", "conditions": [{"operator": "in_segment", "value": ["beta"]}]}],
    )
    desk.policy(**TENTH)
    changes = [
        {"resource": {"type": "segment", "key": "beta"}, "action": "update", "patch": {"included": ["bob"]}},
        {"resource": {"type": "flag", "key": "a"}, "action": "update", "patch": {"description": "A rider"}},
    ]
    request = services.create_request(
        principal=desk.principal("ann"), environment=desk.environment, payload={"title": "Both", "changes": changes}
    )

    refused(lambda: desk.publish(request), "approval_required")


def test_author__who_wrote_over_another_persons_request__does_not_approve_it(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    change = {**request.changes[0], "patch": {"rollout": [{"variant": "treatment", "percent": 100}]}}
    request = services.update_request(
        principal=desk.principal("carl"), request=request, payload={"changes": [change]}, version=request.version
    )

    with pytest.raises(Forbidden):
        desk.review(request, "carl")
    refused(lambda: desk.publish(request, "carl"), "approval_required")
    desk.review(request, "dora")
    assert desk.publish(request, "carl").state == "published"


def test_approval__another_salt_meanwhile__does_not_count(desk):
    desk.policy(**ONE)
    data = json.loads(json.dumps(export_environment(desk.environment), default=str))

    def imported(salt):
        return {"data": {**data, "flags": [{**flag, "salt": salt} for flag in data["flags"]]}}

    request = desk.propose(imported("looked-at"), key="production", type="environment", action="import")
    desk.review(request, "carl")
    request = services.update_request(
        principal=desk.principal("ann"),
        request=request,
        payload={"changes": [{**request.changes[0], "patch": imported("chosen-later")}]},
        version=None,
    )

    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "carl")
    desk.publish(request)
    assert get_config(desk.environment, "new-checkout").salt == "chosen-later"


def test_approval__of_a_restart__counts_whatever_salt_it_draws(desk):
    where = {"actor": ALICE, "environment": desk.environment}
    experiments.create_metric(**where, payload={"key": "paid", "type": "binary", "eventName": "paid"})
    design = {"key": "e", "name": "E", "flagKey": "new-checkout", "primaryMetric": "paid"}
    experiments.start_experiment(**where, pk=experiments.create_experiment(**where, payload=design).pk)
    desk.policy(**ONE)
    request = desk.propose({}, key="e", type="experiment", action="restart")
    desk.review(request, "carl")

    assert desk.publish(request).state == "published"
    assert get_config(desk.environment, "new-checkout").salt != request.parts[0]["after"]["salt"]


def test_policy__set_later__is_asked_of_what_waits(desk, staging, person):
    request = desk.propose({"metadata": {"owner": "checkout"}})
    desk.policy(staging, **ONE)
    project = staging.project
    desk.people["sue"] = person("admin", project.organization, "sue", project=project, environment=staging)

    found = get_request(Environment.objects.filter(pk=staging.pk), request.pk)
    assert [ask["environment"] for ask in found.asks] == ["staging"]
    assert [one.title for one in requests_in([staging])] == ["A change"]
    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "sue")

    desk.policy(staging, requiredApprovals=2, approvers={"roles": ["admin"]})
    refused(lambda: desk.publish(request), "approval_required")
    desk.policy(staging, **ONE, when={"tags": ["payments"]})
    request.refresh_from_db()
    assert request.asks == []
    assert desk.publish(request).state == "published"


def test_emergency__freeze_where_no_policy_asks__is_held_by_it(desk):
    now = timezone.now()
    payload = {"name": "Holidays", "since": now - timedelta(hours=1), "until": now + timedelta(hours=1), "reason": "r"}
    services.create_freeze(actor=ALICE, place=desk.environment, payload=payload)
    request = desk.propose(HALF)
    before = desk.served()

    refused(
        lambda: services.emergency_publish(principal=desk.principal("ann"), request=request, reason="Now"), "frozen"
    )
    assert desk.served() == before


def test_emergency__whoever_published_it__does_not_give_the_review_that_is_owed(desk):
    desk.policy(**ONE, emergency={"roles": ["admin"]})
    request = services.emergency_publish(principal=desk.principal("carl"), request=desk.propose(HALF), reason="Down")

    desk.review(request, "carl")
    request.refresh_from_db()
    assert request.is_review_owed
    desk.review(request, "dora")
    request.refresh_from_db()
    assert not request.is_review_owed


def test_approval__of_a_service_account__is_nobodys_second_pair_of_eyes(desk):
    desk.policy(requiredApprovals=1, approvers={"roles": ["editor"]})
    organization = desk.environment.project.organization
    account, _ = tenancy.create_service_account(actor=ALICE, organization=organization, name="bot")
    tenancy.add_member(actor=ALICE, user=account, role=Role.EDITOR, organization=organization)
    desk.people["bot"] = account
    request = desk.propose(HALF)

    with pytest.raises(Forbidden):
        desk.review(request, "bot")


@pytest.mark.parametrize(
    ("kind", "key", "action", "patch"),
    [
        ("flag", "new-checkout", "rollback", {}),
        ("environment", "production", "import", {}),
        ("environment", "production", "update", {"exposures": "experiments", "isProduction": False}),
    ],
)
def test_request__patch_that_lacks_or_adds_a_field__is_refused_by_name(desk, kind, key, action, patch):
    error = refused(
        lambda: desk.propose(patch, key=key, type=kind, action=action), "required" if not patch else "unknown_field"
    )
    assert error.problems[0].attr.startswith("changes[0]")


def test_schedule__one_request_that_cannot_be_made__keeps_nobody_elses_back(desk, make_flag, staging, monkeypatch):
    first, second = desk.propose(HALF), desk.propose({"description": "New"})
    moment = timezone.now() - timedelta(minutes=1)
    type(first).objects.filter(pk__in=[first.pk, second.pk]).update(publish_at=moment, due_at=moment)
    type(first).objects.filter(pk=first.pk).update(due_at=moment - timedelta(minutes=1), changes=[{"broken": True}])

    assert services.publish_due(timezone.now()) == 1
    first.refresh_from_db()
    assert (first.state, first.due_at) == ("open", None)
    assert "could not be made" in first.held_because
