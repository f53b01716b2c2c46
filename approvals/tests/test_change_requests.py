"""From a refused write to a published change: policies, reviews, conflicts, schedules, emergencies, freezes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import services
from approvals.models import ChangeRequest
from approvals.tests.conftest import HALF, ONE, refused
from audit.models import Entry
from experiments import services as experiments
from flags import services as flags
from flags.selectors import get_config
from tenancy import services as tenancy
from tenancy.errors import Conflict, Forbidden, Invalid
from tenancy.models import Membership
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


def test_write__policy_asks__is_refused_with_a_request_that_does_the_same(desk):
    desk.policy(**ONE)
    before = desk.served()

    error = refused(
        lambda: flags.update_flag(
            actor=ALICE, environment=desk.environment, key="new-checkout", payload=HALF, version=1
        ),
        "approval_required",
    )

    assert desk.served() == before
    assert error.extra["asks"][0] | {"environment": "production", "requiredApprovals": 1} == error.extra["asks"][0]
    request = services.create_request(
        principal=desk.principal("ann"), environment=desk.environment, payload=error.extra["changeRequest"]
    )
    assert desk.served() == before
    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "carl")
    published = desk.publish(request)
    assert (published.state, published.published_by) == ("published", "ann")
    assert get_config(desk.environment, "new-checkout").allocation[0][:2] == [0, 5_000]
    assert [part["after"]["allocation"] for part in published.parts] == [[[0, 5_000, "treatment"]]]
    actions = Entry.objects.filter(entity_type="change_request").order_by("position").values_list("action", flat=True)
    assert list(actions) == ["change_request.created", "change_request.approved", "change_request.published"]


def test_approval__after_an_edit__does_not_count(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    desk.review(request, "carl")
    change = {**request.changes[0], "patch": {"rollout": [{"variant": "treatment", "percent": 100}]}}

    request = services.update_request(
        principal=desk.principal("ann"), request=request, payload={"changes": [change]}, version=2
    )

    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "carl")
    assert desk.publish(request).state == "published"


def test_author__own_approval__counts_only_where_the_policy_says(desk):
    desk.policy(**ONE, approvers={"roles": ["editor"]})
    request = desk.propose(HALF)
    with pytest.raises(Forbidden):
        desk.review(request, "ann")
    with pytest.raises(Forbidden):
        desk.review(request, "vera")

    desk.policy(**ONE, approvers={"roles": ["editor"]}, ownApproval=True)
    request = services.rebase_request(principal=desk.principal("ann"), request=request)
    desk.review(request, "ann")
    assert desk.publish(request).state == "published"


def test_objection__stands_over_edits_until_it_is_taken_back(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    desk.review(request, "carl")
    desk.review(request, "bob", "object", "Too soon")

    refused(lambda: desk.publish(request), "objected")
    request = services.update_request(
        principal=desk.principal("ann"), request=request, payload={"title": "Later"}, version=3
    )
    refused(lambda: desk.publish(request), "objected")
    desk.review(request, "bob", "comment", "Still too soon")
    refused(lambda: desk.publish(request), "objected")
    desk.review(request, "bob", "withdraw", "Fine")
    assert desk.publish(request).state == "published"


def test_objection__of_somebody_without_a_role_any_more__blocks_nothing(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    desk.review(request, "carl")
    desk.review(request, "bob", "object", "Too soon")
    Membership.objects.filter(user=desk.people["bob"]).delete()

    assert desk.publish(request).state == "published"


def test_base__moved_under_other_fields__is_rebased_and_approved_anew(desk):
    request = desk.propose(HALF)
    desk.policy(**ONE)
    request = services.rebase_request(principal=desk.principal("ann"), request=request)
    desk.review(request, "carl")
    other = desk.propose({"enabled": False}, by="bob")
    desk.review(other, "carl")
    desk.publish(other, "bob")

    # What would be served now is off, and nobody has approved that.
    refused(lambda: desk.publish(request), "approval_required")

    request.refresh_from_db()
    assert request.parts[0]["after"]["enabled"] is False
    desk.review(request, "carl")
    desk.publish(request)
    config = get_config(desk.environment, "new-checkout")
    assert (config.is_enabled, config.allocation[0][1]) == (False, 5_000)


def test_base__kill_meanwhile__is_no_clash(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    flags.kill_flag(actor=ALICE, environment=desk.environment, key="new-checkout", reason="Errors")

    request = services.rebase_request(principal=desk.principal("ann"), request=request)
    desk.review(request, "carl")
    desk.publish(request)

    assert get_config(desk.environment, "new-checkout").is_killed


def test_base__same_field_moved__is_shown_with_both_and_decided_by_a_person(desk):
    request = desk.propose(HALF)
    theirs = [{"variant": "treatment", "percent": 20}]
    flags.update_flag(
        actor=ALICE, environment=desk.environment, key="new-checkout", payload={"rollout": theirs}, version=1
    )

    error = refused(lambda: desk.publish(request), "change_conflict")

    (clash,) = error.extra["clashes"]
    assert (clash["field"], clash["theirs"], clash["mine"]) == ("rollout", theirs, HALF["rollout"])
    refused(lambda: services.rebase_request(principal=desk.principal("ann"), request=request), "change_conflict")
    request = services.rebase_request(principal=desk.principal("ann"), request=request, keep=True)
    assert desk.publish(request).state == "published"


@pytest.mark.parametrize(
    ("when", "patch", "asks"),
    [
        ({"impactPercent": 20}, {"rollout": [{"variant": "treatment", "percent": 25}]}, False),
        ({"impactPercent": 20}, {"rollout": [{"variant": "treatment", "percent": 30}]}, True),
        ({"impactPercent": 20}, {"targets": [{"variant": "treatment", "userIds": ["ann"]}]}, True),
        ({"tags": ["payments"]}, {"enabled": False}, False),
        ({"tags": ["payments"]}, {"tags": ["payments"]}, True),
        ({"experiments": True}, {"enabled": False}, False),
        ({}, {"description": "Nobody is served this"}, False),
    ],
    ids=str,
)
def test_policy__condition__asks_only_where_it_holds(desk, when, patch, asks):
    desk.policy(**ONE, when=when)
    update = {"actor": ALICE, "environment": desk.environment, "key": "new-checkout", "payload": patch, "version": 1}

    if asks:
        refused(lambda: flags.update_flag(**update), "approval_required")
    else:
        assert flags.update_flag(**update).version == 2


def test_policy__segment_of_a_tagged_flag__asks_as_the_flag_would(desk, make_flag):
    flags.create_segment(actor=ALICE, environment=desk.environment, payload={"key": "beta", "included": ["ann"]})
    rule = {"priority": 1, "variant": "treatment", "conditions": [{"operator": "in_segment", "value": ["beta"]}]}
    make_flag("paying", tags=["payments"], rules=[rule])
    desk.policy(**ONE, when={"tags": ["payments"]})

    def change(key, included):
        return flags.update_segment(
            actor=ALICE, environment=desk.environment, key=key, payload={"included": included}, version=None
        )

    refused(lambda: change("beta", ["bob"]), "approval_required")
    flags.create_segment(actor=ALICE, environment=desk.environment, payload={"key": "other"})
    assert change("other", ["bob"]).version == 2


def test_policy__of_another_environment__is_asked_where_a_change_reaches_it(desk, staging):
    desk.policy(staging, **ONE)
    shared = {"metadata": {"owner": "checkout"}}

    error = refused(
        lambda: flags.update_flag(
            actor=ALICE, environment=desk.environment, key="new-checkout", payload=shared, version=1
        ),
        "approval_required",
    )

    assert error.extra["asks"][0]["environment"] == "staging"


def test_experiment__start_and_pause__asks_for_the_one_and_not_for_the_other(desk):
    where = {"actor": ALICE, "environment": desk.environment}
    experiments.create_metric(**where, payload={"key": "paid", "type": "binary", "eventName": "paid"})
    draft = experiments.create_experiment(
        **where, payload={"name": "E", "flagKey": "new-checkout", "primaryMetric": "paid"}
    )
    desk.policy(**ONE, when={"experiments": True})

    error = refused(lambda: experiments.start_experiment(**where, pk=draft.pk), "approval_required")

    (change,) = error.extra["changeRequest"]["changes"]
    assert (change["resource"], change["action"]) == ({"type": "experiment", "key": str(draft.pk)}, "start")
    request = services.create_request(
        principal=desk.principal("ann"), environment=desk.environment, payload=error.extra["changeRequest"]
    )
    draft.refresh_from_db()
    assert draft.status == "draft"
    desk.review(request, "carl")
    desk.publish(request)
    draft.refresh_from_db()
    assert draft.status == "running"
    refused(lambda: experiments.restart_experiment(**where, pk=draft.pk), "approval_required")
    refused(
        lambda: experiments.update_metric(**where, key="paid", payload={"eventName": "bought"}, version=1),
        "approval_required",
    )
    experiments.pause_experiment(**where, pk=draft.pk)


def test_several_changes__one_refused__publishes_none(desk, make_flag):
    make_flag("second")
    changes = [
        {"resource": {"type": "flag", "key": key}, "patch": HALF if key != "third" else {"enabled": True}}
        for key in ("new-checkout", "second")
    ]
    request = services.create_request(
        principal=desk.principal("ann"), environment=desk.environment, payload={"title": "Two", "changes": changes}
    )
    before = desk.served()
    flags.archive_flag(actor=ALICE, environment=desk.environment, key="second")

    with pytest.raises(Conflict):
        desk.publish(request)

    assert desk.served()["flags"]["new-checkout"] == before["flags"]["new-checkout"]


def test_request__invalid_change__is_refused_with_its_path(desk):
    with pytest.raises(Invalid) as error:
        desk.propose({"rollout": [{"variant": "nobody", "percent": 50}]})

    assert error.value.problems[0].attr == "changes[0].rollout[0].variant"
    refused(lambda: desk.propose({"enabled": True}), "nothing_served")


def test_schedule__due_and_approved__is_published_on_behalf_of_its_author(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF, at=timezone.now() + timedelta(hours=1))
    desk.review(request, "carl")
    later = timezone.now() + timedelta(hours=2)

    assert services.publish_due(timezone.now()) == 0
    assert services.publish_due(later) == 1

    row = Entry.objects.filter(action="flag.updated").order_by("-position").first()
    assert (row.actor_kind, row.actor_label) == ("schedule", "schedule for ann")


def test_schedule__not_approved_or_author_without_right__is_held_and_says_why(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF, at=timezone.now() + timedelta(hours=1))
    later = timezone.now() + timedelta(hours=2)

    assert services.publish_due(later) == 0
    request.refresh_from_db()
    assert "1 more approval" in request.held_because
    assert request.due_at is None
    desk.review(request, "carl")
    Membership.objects.filter(user=desk.people["ann"]).delete()
    ChangeRequest.objects.update(due_at=later)
    assert services.publish_due(later) == 0


def test_automatic__last_approval__publishes_it(desk):
    desk.policy(requiredApprovals=2)
    request = desk.propose(HALF, publishWhenApproved=True)

    assert desk.review(request, "carl").state == "open"
    assert desk.review(request, "dora").state == "published"


def test_emergency__named_role__publishes_and_owes_a_review(desk):
    desk.policy(requiredApprovals=2, emergency={"roles": ["admin"]})
    request = desk.propose(HALF)

    def emergency(by, reason="Down"):
        return services.emergency_publish(principal=desk.principal(by), request=request, reason=reason)

    with pytest.raises(Forbidden):
        emergency("ann")
    refused(lambda: emergency("carl", " "), "required")
    desk.review(request, "bob", "object", "No")
    refused(lambda: emergency("carl"), "objected")
    desk.review(request, "bob", "withdraw")

    published = emergency("carl")

    assert (published.state, published.is_review_owed) == ("published", True)
    assert not desk.review(published, "dora").is_review_owed


def test_check__service_account__has_to_approve_over_its_account(desk):
    account, _ = tenancy.create_service_account(
        actor=ALICE, organization=desk.environment.project.organization, name="ci"
    )
    tenancy.add_member(actor=ALICE, user=account, role="viewer", organization=desk.environment.project.organization)
    desk.policy(requiredApprovals=0, checks=["ci@acme"])
    desk.people["ci"] = account
    request = desk.propose(HALF)

    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "ci")
    assert desk.publish(request).state == "published"


def test_cancelled__blocks_nothing_and_cannot_be_published(desk):
    request = desk.propose(HALF)
    services.cancel_request(principal=desk.principal("ann"), request=request)

    refused(lambda: desk.publish(request), "wrong_state")
    refused(lambda: desk.review(request, "carl"), "wrong_state")
    assert desk.publish(desk.propose(HALF)).state == "published"


def test_revert__published__brings_back_what_was_there(desk):
    before = desk.served()
    flags.create_segment(actor=ALICE, environment=desk.environment, payload={"key": "beta", "included": ["ann"]})
    there = desk.served()
    changes = [
        {"resource": {"type": "flag", "key": "new-checkout"}, "patch": HALF},
        {"resource": {"type": "segment", "key": "beta"}, "patch": {"included": ["bob"]}},
    ]
    request = services.create_request(
        principal=desk.principal("ann"), environment=desk.environment, payload={"title": "Both", "changes": changes}
    )
    published = desk.publish(request)
    assert desk.served() != there

    undoing = services.revert_request(principal=desk.principal("bob"), request=published)
    desk.publish(undoing, "bob")

    assert undoing.reverts_id == published.pk
    assert desk.served() == there
    assert desk.served()["flags"] == before["flags"]
