"""What is asked of an act as a whole, what an approval is bound to, and what stays of a publication that is refused."""

import re
from datetime import timedelta
from statistics import median
from time import perf_counter

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import needs, services
from approvals.selectors import requests_in
from approvals.services.standing import Say, missing_of
from approvals.tests.conftest import HALF, ONE, refused
from experiments import services as experiments
from flags import services as flags
from flags.selectors import get_config
from flags.services import gate
from tenancy import services as tenancy
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


def imported(*keys, **more):
    values = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
    listed = [{"key": key, "type": "boolean", "variants": values, "enabled": True, **more} for key in keys]
    return {"format": "flagship", "formatVersion": 1, "flags": listed}


def test_import__under_a_condition__is_looked_at_once_and_without_what_it_leaves_out(desk, monkeypatch):
    seen, compiled_at = [], needs.compiled_at
    monkeypatch.setattr(needs, "compiled_at", lambda *given: seen.append(given) or compiled_at(*given))
    desk.policy(**ONE, when={"impactPercent": 10})
    where = {"actor": ALICE, "environment": desk.environment}
    before = desk.served()

    error = refused(lambda: flags.import_environment(**where, data=imported("a", "b", "c")), "approval_required")
    assert (len(seen), desk.served()) == (1, before)
    assert [change["action"] for change in error.extra["changeRequest"]["changes"]] == ["import"]

    report = flags.import_environment(**where, data=imported("a", "b", enabled=False, killedBy="nobody", rules="none"))
    assert [item["key"] for item in report.skipped] == ["a", "b"]
    assert desk.served() == before


def test_approval__another_design_of_an_experiment__does_not_count(desk):
    where = {"actor": ALICE, "environment": desk.environment}
    experiments.create_metric(**where, payload={"key": "paid", "type": "binary", "eventName": "paid"})
    design = {"key": "e", "name": "E", "flagKey": "new-checkout", "primaryMetric": "paid", "trafficPercent": 50}
    experiments.start_experiment(**where, pk=experiments.create_experiment(**where, payload=design).pk)
    desk.policy(**ONE)
    request = desk.propose({"trafficPercent": 60, "hypothesis": "It sells more"}, key="e", type="experiment")
    desk.review(request, "carl")
    change = {**request.changes[0], "patch": {"trafficPercent": 60, "hypothesis": "It sells less"}, "baseVersion": None}

    request = services.update_request(
        principal=desk.principal("ann"), request=request, payload={"changes": [change]}, version=None
    )

    refused(lambda: desk.publish(request), "approval_required")
    desk.review(request, "carl")
    assert desk.publish(request).state == "published"


@pytest.mark.parametrize(
    ("action", "shipped"),
    [
        ("complete", {"decision": "ship", "variant": "treatment"}),
        ("release", {"variant": "treatment", "template": "daily"}),
    ],
)
def test_completion__against_the_results__asks_a_request_for_its_reason_too(desk, action, shipped):
    where = {"actor": ALICE, "environment": desk.environment}
    experiments.create_metric(**where, payload={"key": "paid", "type": "binary", "eventName": "paid"})
    design = {"key": "e", "name": "E", "flagKey": "new-checkout", "primaryMetric": "paid"}
    experiments.start_experiment(**where, pk=experiments.create_experiment(**where, payload=design).pk)
    asked = {"key": "e", "type": "experiment", "action": action}

    refused(lambda: desk.propose(shipped, **asked), "reason_required")
    assert desk.propose({**shipped, "reason": "Legal asks for it"}, **asked).state == "open"


def test_environment__of_another_name__is_not_changed_by_a_request_here(desk, staging):
    error = refused(
        lambda: desk.propose({"exposures": "experiments"}, key=staging.key, type="environment"), "other_environment"
    )
    assert error.problems[0].attr == "changes[0].resource.key"


def test_owed_review__of_a_check__is_not_the_second_look_of_a_person(desk):
    account, _ = tenancy.create_service_account(
        actor=ALICE, organization=desk.environment.project.organization, name="bot"
    )
    tenancy.add_member(actor=ALICE, user=account, role=Role.EDITOR, organization=desk.environment.project.organization)
    desk.people["bot"] = account
    desk.policy(**ONE, emergency={"roles": ["admin"]}, checks=[account.get_username()])
    request = services.emergency_publish(principal=desk.principal("carl"), request=desk.propose(HALF), reason="Down")

    assert desk.review(request, "bot").is_review_owed
    assert not desk.review(request, "dora").is_review_owed


def test_publication__under_a_key__keeps_the_rebase_that_its_refusal_tells_of(desk, token):
    desk.policy(**ONE)
    request = desk.propose(HALF)
    organization = desk.environment.project.organization
    ann, carl = (token(desk.people[name], organization) for name in ("ann", "carl"))
    path = f"change-requests/{request.pk}"
    assert carl.post(f"{path}/approve", {}).json()["errors"][0]["attr"] == "content"
    assert carl.post(f"{path}/approve", {"content": "other"}).status_code == 409
    approved = carl.post(f"{path}/approve", {"content": request.content}).json()
    assert approved["reviews"][0]["baseVersions"] == [1]
    with gate.permitted():
        flags.update_flag(
            actor=ALICE, environment=desk.environment, key="new-checkout", payload={"enabled": False}, version=1
        )

    answer = ann.post(f"{path}/publish", headers={"Idempotency-Key": "once"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "approval_required")
    moved = ann.get(path).json()
    assert moved["content"] != request.content
    assert moved["parts"][0]["after"]["enabled"] is False
    carl.post(f"{path}/approve", {"content": moved["content"]})
    # No refusal is kept: the same key asks anew.
    assert ann.post(f"{path}/publish", headers={"Idempotency-Key": "once"}).json()["state"] == "published"


def test_freeze__that_ended_by_the_clock__leaves_no_mark(desk, staging):
    def is_guarded(place):
        place.refresh_from_db()
        return place.is_guarded

    now = timezone.now()
    window = {"name": "Holidays", "since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    services.create_freeze(actor=ALICE, place=desk.environment.project, payload=window)
    desk.policy(staging, **ONE)
    services.unmark_ended(now)
    assert is_guarded(desk.environment)
    assert is_guarded(staging)

    services.unmark_ended(now + timedelta(hours=2))
    # Setting the mark looks at the clock itself, which has not come so far.
    assert is_guarded(desk.environment)
    desk.environment.freezes.model.objects.update(until=now - timedelta(minutes=1))
    services.unmark_ended(timezone.now())
    assert not is_guarded(desk.environment)
    assert is_guarded(staging)


def test_release__by_a_request_in_a_freeze__is_published_as_a_release_is(desk):
    flags.kill_flag(actor=ALICE, environment=desk.environment, key="new-checkout")
    desk.policy(**ONE)
    services.create_freeze(actor=ALICE, place=desk.environment, payload={"name": "Holidays"})
    request = desk.propose({}, action="release")
    desk.review(request, "carl")

    assert desk.publish(request).state == "published"
    assert not get_config(desk.environment, "new-checkout").is_killed


def test_kill__under_a_policy_and_in_a_freeze__takes_as_long_as_without(desk):
    """Both in one run, in turns: the same statements, and no time that a guard would add."""

    def guard(is_on):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tenancy_environment SET is_guarded = %s", [is_on])

    def kill():
        with CaptureQueriesContext(connection) as found, transaction.atomic():
            begun = perf_counter()
            flags.kill_flag(actor=ALICE, environment=desk.environment, key="new-checkout", reason="Errors")
            took = perf_counter() - begun
            assert get_config(desk.environment, "new-checkout").is_killed
            transaction.set_rollback(True)
        return [re.sub(r"'[^']*'|s?\d[\w]*", "?", query["sql"]) for query in found], took

    desk.policy(**ONE, when={"impactPercent": 1, "experiments": True, "tags": ["payments"]})
    services.create_freeze(actor=ALICE, place=desk.environment.project.organization, payload={"name": "Holidays"})
    kill()
    took = {True: [], False: []}
    said = {}
    for _ in range(7):
        for is_on in (True, False):
            guard(is_on)
            said[is_on], seconds = kill()
            took[is_on].append(seconds)

    assert said[True] == said[False]
    assert median(took[True]) < 3 * median(took[False]) + 0.05


def test_standing__of_many_requests__looks_each_environment_up_once(desk):
    desk.policy(**ONE)
    requests = [desk.propose({"metadata": {"step": number}}) for number in range(4)]
    for request in requests:
        desk.review(request, "carl")

    def asked(found):
        say = Say()
        with CaptureQueriesContext(connection) as queries:
            assert not any(missing_of(one, say=say) for one in requests_in([desk.environment])[:found])
        return len(queries)

    assert asked(1) == asked(4)
