"""What the schedule could not publish is looked at again, once what was in its way is gone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import services
from approvals.models import ChangeRequest
from approvals.services.publishing import publish_by_itself
from approvals.tests.conftest import HALF, ONE
from audit.models import Entry
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


@pytest.fixture
def due(desk):
    """A request whose instant has come a minute ago."""
    request = desk.propose(HALF, at=timezone.now() + timedelta(hours=1))
    moment = timezone.now() - timedelta(minutes=1)
    ChangeRequest.objects.update(publish_at=moment, due_at=moment)
    return request


def published_by_now(request):
    services.publish_due(timezone.now())
    request.refresh_from_db()
    return request.state == "published"


def test_approval__after_its_instant__publishes_it(desk, due):
    desk.policy(requiredApprovals=2)
    assert not published_by_now(due)

    assert desk.review(due, "carl").state == "open"
    assert desk.review(due, "dora").state == "published"
    assert Entry.objects.filter(action="change_request.held").count() == 1


@pytest.mark.parametrize("place", ["environment", "project"])
@pytest.mark.parametrize("act", ["deleted", "ended"])
def test_freeze__without_an_end__is_gone__publishes_it(desk, due, place, act):
    where = desk.environment if place == "environment" else desk.environment.project
    since = timezone.now() - timedelta(hours=2)
    freeze = services.create_freeze(actor=ALICE, place=where, payload={"name": "Holidays", "since": since})
    assert not published_by_now(due)
    assert not published_by_now(due)

    if act == "deleted":
        services.delete_freeze(actor=ALICE, freeze=freeze)
    else:
        services.update_freeze(
            actor=ALICE, freeze=freeze, payload={"until": since + timedelta(hours=1)}, version=freeze.version
        )
    assert published_by_now(due)


def test_freeze__that_goes_on__holds_it_and_tells_once(desk, due):
    since = timezone.now() - timedelta(hours=2)
    freeze = services.create_freeze(actor=ALICE, place=desk.environment, payload={"name": "Holidays", "since": since})
    assert not published_by_now(due)
    services.update_freeze(actor=ALICE, freeze=freeze, payload={"since": since - timedelta(hours=1)}, version=None)

    assert not published_by_now(due)
    assert due.due_at is None
    assert Entry.objects.filter(action="change_request.held").count() == 1


def test_request__given_a_time_while_the_schedule_looks_at_it__keeps_that_time(desk, due):
    desk.policy(requiredApprovals=2)
    ChangeRequest.objects.update(publish_at=None, is_automatic=True)
    read = ChangeRequest.objects.get(pk=due.pk)
    moment = timezone.now() + timedelta(days=1)
    ChangeRequest.objects.update(publish_at=moment, due_at=moment)

    publish_by_itself(read)

    due.refresh_from_db()
    assert due.due_at == moment


def test_policy__that_asks_no_more__publishes_what_waited_for_it(desk):
    desk.policy(**ONE)
    request = desk.propose(HALF, publishWhenApproved=True)
    assert not published_by_now(request)
    desk.policy(requiredApprovals=0)
    assert published_by_now(request)
