"""Freezes of each place, who is exempt, and what nothing holds back: a kill, and a trial."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import services
from approvals.tests.conftest import HALF, ONE, refused
from flags import services as flags
from flags.services import gate
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


def freeze(desk, place=None, **payload):
    return services.create_freeze(actor=ALICE, place=place or desk.environment, payload={"name": "Holidays", **payload})


@pytest.mark.parametrize("place", ["environment", "project", "organization"])
def test_freeze__of_each_place__refuses_writes_and_no_kill(desk, place):
    project = desk.environment.project
    where = {"environment": desk.environment, "project": project, "organization": project.organization}[place]
    made = freeze(desk, where, until=timezone.now() + timedelta(hours=1), reason="Nobody is here")
    update = {"actor": ALICE, "environment": desk.environment, "key": "new-checkout"}

    error = refused(lambda: flags.update_flag(**update, payload=HALF, version=1), "frozen")

    assert error.extra["freeze"] | {"name": "Holidays", "until": made.until} == error.extra["freeze"]
    flags.kill_flag(**update)
    flags.release_flag(**update)
    services.delete_freeze(actor=ALICE, freeze=made)
    flags.update_flag(**update, payload=HALF, version=None)


def test_freeze__exempt_role__publishes_and_a_schedule_waits_for_its_end(desk):
    made = freeze(desk, until=timezone.now() + timedelta(hours=3), exempt={"roles": ["admin"]})
    request = desk.propose(HALF, at=timezone.now() + timedelta(hours=1))

    refused(lambda: desk.publish(request), "frozen")
    assert services.publish_due(timezone.now() + timedelta(hours=2)) == 0
    request.refresh_from_db()
    assert request.due_at == made.until
    assert "Holidays" in request.held_because
    assert desk.publish(request, "carl").state == "published"


@pytest.mark.parametrize("cron", ["R 18 * * 5", "0 r(8-18) * * *", "0 18 * * H", "R/5 * * * *"])
def test_freeze__that_would_begin_at_random__is_refused_by_name(desk, cron):
    error = refused(lambda: freeze(desk, cron=cron, durationMinutes=60), "invalid_cron")

    assert "at random (R and H do)" in error.problems[0].detail
    assert freeze(desk, cron="0 18 * MAR THU", durationMinutes=60).pk


def test_environment__policy_and_freeze_gone__is_guarded_no_more(desk):
    def is_guarded():
        desk.environment.refresh_from_db()
        return desk.environment.is_guarded

    assert not is_guarded()
    desk.policy(**ONE)
    made = freeze(desk)
    assert is_guarded()
    services.delete_freeze(actor=ALICE, freeze=made)
    assert is_guarded()
    desk.policy(requiredApprovals=0)
    assert not is_guarded()


def test_kill__policy_and_freeze__asks_the_database_nothing_more(desk, django_assert_num_queries, make_flag):
    make_flag("second")
    with CaptureQueriesContext(connection) as free:
        flags.kill_flag(actor=ALICE, environment=desk.environment, key="second")
    desk.policy(**ONE)
    freeze(desk)

    with django_assert_num_queries(len(free)):
        flags.kill_flag(actor=ALICE, environment=desk.environment, key="new-checkout")
    refused(
        lambda: flags.release_flag(actor=ALICE, environment=desk.environment, key="new-checkout"), "approval_required"
    )


def test_gate__trial__leaves_nothing_behind(desk):
    before = desk.served()
    with gate.trial() as watch:
        flags.update_flag(actor=ALICE, environment=desk.environment, key="new-checkout", payload=HALF, version=1)
    assert desk.served() == before
    assert [piece.key for piece in watch.pieces] == ["new-checkout"]
