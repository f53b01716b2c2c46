"""Figures by an attribute that are kept, after erasure, bots found later and pseudonyms: those of one pass."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from analytics.models import CohortSegment, SegmentDay, UnitSegment
from analytics.services import forget_user, reclassify_bots, set_event_policy
from analytics.tests.conftest import ACTOR
from analytics.tests.test_segment_rollups import assert_same, refresh, see, six_days, users_of
from analytics.tests.world import DAY, START
from tenancy.models import Environment

HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("change", ["forget", "reclassify", "pseudonyms"])
def test_rewriting__is_seen_by_what_is_kept(environment: Environment, settings: Settings, change: str) -> None:
    env = environment.pk
    six_days(env)
    see(env, "user-3", START + 4 * DAY + HOUR, "US")
    see(env, "undecided", START + HOUR)
    refresh(env)
    if change == "forget":
        forget_user(actor=ACTOR, organization=environment.project.organization, user_id="user-3")
        assert not UnitSegment.objects.filter(unit_id="user-3").exists()
        assert CohortSegment.objects.count() == 6
        assert set(SegmentDay.objects.values_list("events", flat=True)) == {0, 1, 2}
        # As many come late as were erased: the day is not what it was for that.
        see(env, "undecided", START + 4 * DAY + 2 * HOUR, "FR")
        assert users_of(assert_same(env)) == {"DE": 5, "FR": 1}
    elif change == "reclassify":
        settings.BOT_USER_IDS = "^user-3$"
        reclassify_bots(lambda _done, _total: None)
        assert not UnitSegment.objects.filter(unit_id="user-3").exists()
        assert users_of(assert_same(env)) == {"DE": 5, None: 1}
    else:
        set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
        assert users_of(assert_same(env)) == {"DE": 6, None: 1}
        assert not UnitSegment.objects.filter(unit_id__startswith="user").exists()
    refresh(env)
    assert_same(env)


def test_exposures_of_a_bot__among_others__decide_nothing_from_then_on(
    environment: Environment, settings: Settings
) -> None:
    env = environment.pk
    see(env, "alice", START + HOUR, "DE", user_agent="Reader/1")
    see(env, "alice", START + DAY, "US")
    refresh(env)
    assert users_of(assert_same(env)) == {"DE": 1}
    settings.BOT_USER_AGENTS = "^Reader"
    reclassify_bots(lambda _done, _total: None)
    assert users_of(assert_same(env)) == {"US": 1}
    refresh(env)
    assert users_of(assert_same(env)) == {"US": 1}
