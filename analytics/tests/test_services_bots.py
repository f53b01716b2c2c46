"""Bots found after the fact: what is derived from events follows their flags, both ways."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from analytics import selectors
from analytics.enrichment.bots import flag_bots
from analytics.event_records import Batch
from analytics.models import BotUnit, Conversion, Exposure
from analytics.services import find_fast_bots, reclassify_bots, set_event_policy, store_events
from analytics.tests.conftest import ACTOR, NOON, conversion, converted, exposure
from analytics.tests.test_derived import _random_events
from tenancy.models import Environment

ENV = 7
END = NOON + timedelta(days=3)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


def _meet(unit: str, count: int = 1, environment_id: int = ENV, **changes: Any) -> None:
    store_events(
        Batch(
            [exposure(environment_id, unit, "control", NOON + n * HOUR, **changes) for n in range(count)],
            [conversion(environment_id, unit, NOON + HOUR)],
        )
    )


def _figures(environment_id: int = ENV) -> tuple[Any, ...]:
    return (
        selectors.exposure_summary(selectors.Period(environment_id, "checkout-test", NOON, END)),
        converted(environment_id, NOON, END),
        selectors.flag_exposures(environment_id, "new-checkout", None, None),
    )


def _silent(_done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("count", [1, 8, 9, 500])
def test_flags__of_many__are_those_of_each_alone(count: int, settings: Settings) -> None:
    settings.BOT_USER_IDS = "^(bot|x+)-"
    units = [f"{('user', 'bot', 'robot', 'XX')[number % 37 % 4]}-{number}" for number in range(count)]
    together = flag_bots(units, [])
    assert together == [flag_bots([unit], [])[0] for unit in units]
    assert together == [unit.startswith(("bot-", "XX-")) for unit in units]


def test_flags__without_patterns__are_none(settings: Settings) -> None:
    settings.BOT_USER_IDS = settings.BOT_USER_AGENTS = ""
    assert flag_bots(["bot-1"], ["Googlebot"]) == [False]


def test_reclassified__by_new_patterns__is_as_if_they_had_held_from_the_start(settings: Settings) -> None:
    patterns = settings.BOT_USER_IDS, settings.BOT_USER_AGENTS
    events = _random_events(4)
    settings.BOT_USER_IDS, settings.BOT_USER_AGENTS = "^user-[0-9]$", "nothing like it"
    store_events(Batch(exposures=events))
    other_rules = _figures()
    settings.BOT_USER_IDS, settings.BOT_USER_AGENTS = patterns
    steps: list[tuple[int, int]] = []
    flagged, unflagged = reclassify_bots(lambda done, total: steps.append((done, total)))
    assert flagged > 0
    assert unflagged > 0
    assert steps[-1][0] == steps[-1][1] > 1
    found = _figures()
    assert found != other_rules
    moved = [type(event)(**{**_fields(event), "environment_id": ENV + 1}) for event in events]
    store_events(Batch(exposures=moved))
    assert found == _figures(ENV + 1)
    assert reclassify_bots(_silent) == (0, 0)


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_agent_of_a_bot__says_nothing_of_the_units_conversions(settings: Settings) -> None:
    agents, settings.BOT_USER_AGENTS = settings.BOT_USER_AGENTS, ""
    _meet("alice")
    _meet("alice", user_agent="Googlebot")
    settings.BOT_USER_AGENTS = agents
    assert reclassify_bots(_silent) == (1, 0)
    assert not Conversion.objects.filter(is_bot=True).exists()


def test_pseudonyms__keep_the_flag_that_their_id_gave(environment: Environment, settings: Settings) -> None:
    set_event_policy(actor=ACTOR, environment=environment, retention_days=None, stores_pseudonyms=True)
    _meet("bot-1", environment_id=environment.pk)
    settings.BOT_USER_IDS = "^nothing$"
    assert reclassify_bots(_silent) == (0, 0)
    assert Exposure.objects.get().is_bot


def _meet_often(unit: str, count: int) -> None:
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    store_events(
        Batch(
            [exposure(ENV, unit, "control", now, experiment="checkout-test") for _ in range(count)],
            [conversion(ENV, unit, now)],
        )
    )


def test_unit__too_fast__is_a_bot_from_first_to_last(settings: Settings) -> None:
    settings.BOT_EXPOSURES_PER_HOUR = 20
    _meet("scraper")
    _meet_often("scraper", 21)
    _meet_often("alice", 20)
    assert [row.unit_id for row in find_fast_bots(hours=3)] == ["scraper"]
    _meet_often("scraper", 1)
    assert not Exposure.objects.filter(unit_id="scraper", is_bot=False).exists()
    assert not Conversion.objects.filter(unit_id="scraper", is_bot=False).exists()
    assert not Exposure.objects.filter(unit_id="alice", is_bot=True).exists()
    assert find_fast_bots(hours=3) == []
    assert reclassify_bots(_silent) == (0, 0)


def test_unit__too_fast__with_the_limit_off__is_none(settings: Settings) -> None:
    settings.BOT_EXPOSURES_PER_HOUR = 0
    _meet_often("scraper", 30)
    assert find_fast_bots() == []
    assert not BotUnit.objects.exists()


def test_command__reports_what_changed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    _meet("internal-1", 3)
    settings.BOT_USER_IDS = "^internal-"
    call_command("events", "reclassify")
    assert "4 events are bots' now, 0 are no longer." in capsys.readouterr().out
