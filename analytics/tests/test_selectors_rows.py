"""What an analysis reads row by row, alike on every store: events, attributes, bots, the youngest event."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from analytics import selectors
from analytics.event_records import Batch, ExposureEvent
from analytics.selectors import Period
from analytics.services import store_events
from analytics.tests.conftest import NOON, conversion, exposure, milliseconds

ENV = 7
END = NOON + timedelta(days=3)
HOUR = timedelta(hours=1)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("any_store")]


def _attribute(name: str) -> list[tuple[str, object]]:
    return list(selectors.attribute_values(Period(ENV, "checkout-test", NOON, END), name))


def test_events__of_one_name__come_in_the_order_of_their_ids() -> None:
    # Their second halves are in the other order.
    first, second = UUID("00000000-0000-7000-9000-000000000000"), UUID("00000000-0000-7001-8000-000000000000")
    store_events(
        Batch(
            [],
            [
                conversion(ENV, "bob", NOON, event_id=second, received_ms=milliseconds(NOON + HOUR)),
                conversion(ENV, "alice", NOON + HOUR, event_id=first, value=0.1),
                conversion(ENV, "alice", NOON + HOUR, event_name="visit"),
                conversion(ENV, "bot-1", NOON + HOUR),
                conversion(ENV, "carol", NOON - timedelta(milliseconds=1)),
                conversion(ENV, "carol", END),
                conversion(ENV + 1, "carol", NOON),
            ],
        )
    )
    assert list(selectors.events(ENV, "purchase", NOON, END)) == [
        ("alice", NOON + HOUR, NOON + HOUR, 0.1),
        ("bob", NOON, NOON + HOUR, None),
    ]
    assert len(list(selectors.events(ENV, "purchase", NOON))) == 3
    assert selectors.event_count(ENV, "purchase", NOON) == 3
    assert selectors.event_count(ENV, "nothing", NOON) == 0


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ('{"total": 12.5, "0": 1}', 12.5),
        ('{"total": -3}', -3.0),
        ('{"total": "12"}', None),
        ('{"total": 1e13}', None),
        ('{"other": 1}', None),
        (None, None),
    ],
)
def test_events__value_from_a_property__is_the_number_of_that_name(properties: str | None, value: float | None) -> None:
    store_events(Batch([], [conversion(ENV, "alice", NOON, value=7.0, properties=properties)]))
    (plain,) = selectors.events(ENV, "purchase", NOON)
    (found,) = selectors.events(ENV, "purchase", NOON, value_property="total")
    assert (plain.value, found.value) == (7.0, value)


def test_flag_units__seen_often__are_one_row_each_with_the_first_time() -> None:
    store_events(
        Batch(
            [
                *(exposure(ENV, "bob", "control", NOON + hours * HOUR) for hours in (5, 2, 9)),
                exposure(ENV, "alice", "control", NOON, experiment=None),
                exposure(ENV, "bot-1", "control"),
                exposure(ENV, "carol", "control", END),
                exposure(ENV, "dora", "control", flag_key="other"),
            ]
        )
    )
    assert list(selectors.flag_units(ENV, "new-checkout", NOON, END)) == [("alice", NOON), ("bob", NOON + 2 * HOUR)]


def test_flag_arms__by_place__are_whom_chance_gave_one_variant() -> None:
    def seen(unit: str, variant: str, reason: str, rule_id: str | None = None, hours: int = 0) -> ExposureEvent:
        made = exposure(ENV, unit, variant, NOON + hours * HOUR, experiment=None)
        return msgspec.structs.replace(made, reason=reason, rule_id=rule_id)

    store_events(
        Batch(
            [
                seen("alice", "treatment", "ROLLOUT", hours=2),
                seen("alice", "treatment", "ROLLOUT", hours=1),
                seen("bob", "control", "DEFAULT"),
                seen("carol", "control", "DEFAULT"),
                seen("carol", "treatment", "ROLLOUT", hours=1),
                seen("dora", "treatment", "TARGET_MATCH"),
                seen("erin", "treatment", "RULE_MATCH", "r1"),
                seen("finn", "control", "RULE_MATCH", "r2"),
                seen("bot-1", "control", "DEFAULT"),
            ]
        )
    )
    arms = selectors.flag_arms(ENV, "new-checkout", NOON, END)
    assert list(arms) == [("alice", "treatment", NOON + HOUR), ("bob", "control", NOON)]
    assert list(selectors.flag_arms(ENV, "new-checkout", NOON, END, "r1")) == [("erin", "treatment", NOON)]


def test_attribute__is_the_first_exposures_that_had_one() -> None:
    store_events(
        Batch(
            [
                exposure(ENV, "alice", "control", NOON + HOUR, attributes='{"country": "DE"}'),
                exposure(ENV, "alice", "control", NOON + 2 * HOUR, attributes='{"country": "US"}'),
                exposure(ENV, "alice", "control", NOON, attributes='{"country": null, "plan": "pro"}'),
                exposure(ENV, "bob", "control", attributes='{"country": ["DE"]}'),
                exposure(ENV, "carol", "control"),
                exposure(ENV, "bot-1", "control", attributes='{"country": "DE"}'),
                exposure(ENV, "dora", "control", experiment="other", attributes='{"country": "DE"}'),
            ]
        )
    )
    assert _attribute("country") == [("alice", "DE")]
    assert _attribute("plan") == [("alice", "pro")]


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ('"it\'s \\"é\\""', 'it\'s "é"'),
        ("7", 7),
        ("-2.5", -2.5),
        ("true", True),
        ('""', ""),
        ("12345678901234567", 12345678901234567),
    ],
)
def test_attribute__of_any_kind__comes_back_as_it_was(sent: str, value: object) -> None:
    store_events(Batch([exposure(ENV, "alice", "control", attributes=f'{{"0": {sent}, "x": "y"}}')]))
    ((unit, found),) = _attribute("0")
    assert (unit, found, type(found)) == ("alice", value, type(value))


def test_bots__count_once_in_the_variant_they_saw_first() -> None:
    store_events(
        Batch(
            [
                exposure(ENV, "bot-1", "treatment", NOON + HOUR),
                exposure(ENV, "bot-1", "control", NOON + 2 * HOUR),
                exposure(ENV, "bot-2", "control", END),
                exposure(ENV, "alice", "control", user_agent="Googlebot"),
                exposure(ENV, "alice", "control", NOON + HOUR),
            ]
        )
    )
    assert selectors.bots_first_seen(Period(ENV, "checkout-test", NOON, END)) == {"treatment": 1}
    assert selectors.bots_first_seen(Period(ENV, "checkout-test", NOON + 2 * HOUR, END)) == {"control": 1}
    assert selectors.bots_first_seen(Period(ENV, "checkout-test", NOON, END + HOUR)) == {
        "control": 1,
        "treatment": 1,
    }
    pauses = [(NOON, NOON + HOUR), (END, END + HOUR)]
    assert selectors.bots_first_seen(Period(ENV, "checkout-test", NOON, END + HOUR, pauses)) == {"treatment": 1}


def test_last_received__is_the_youngest_before_the_deadline() -> None:
    asked = (Period(ENV, "checkout-test", NOON, END), ["purchase", "visit"])
    assert selectors.last_received(*asked, END) is None
    store_events(
        Batch(
            [exposure(ENV, "alice", "control", received_ms=milliseconds(NOON + HOUR))],
            [
                conversion(ENV, "alice", NOON, received_ms=milliseconds(NOON + 2 * HOUR)),
                conversion(ENV, "alice", NOON, received_ms=milliseconds(END)),
                conversion(ENV, "alice", NOON, event_name="other", received_ms=milliseconds(NOON + 5 * HOUR)),
            ],
        )
    )
    assert selectors.last_received(*asked, END) == NOON + 2 * HOUR
    assert selectors.last_received(*asked, NOON + 2 * HOUR) == NOON + HOUR
    # However long ago: looking back goes by steps.
    for days in (1, 9, 70, 700):
        asked_later = (*asked, END + timedelta(days=days, milliseconds=1))
        assert selectors.last_received(*asked_later) == END


def test_last_received__of_a_client_whose_clock_is_ahead__is_found() -> None:
    received = NOON - timedelta(hours=23)
    store_events(Batch([exposure(ENV, "alice", "control", received_ms=milliseconds(received))], []))

    assert selectors.last_received(Period(ENV, "checkout-test", NOON, END), [], END) == received


def test_latest_attributes__of_one_environment__come_latest_first_and_no_older_than_asked() -> None:
    def seen(unit: str, hours: int, attributes: str | None, environment: int = ENV) -> ExposureEvent:
        return exposure(environment, unit, "control", NOON + hours * HOUR, attributes=attributes)

    store_events(
        Batch(
            [
                seen("old", 0, '{"country": "FR"}'),
                seen("alice", 2, '{"country": "DE"}'),
                seen("bob", 3, '{"country": "US", "age": 30}'),
                seen("alice", 4, '{"country": "NL"}'),
                seen("none", 5, None),
                seen("other", 6, '{"country": "JP"}', ENV + 1),
            ],
            [],
        )
    )

    def latest(limit: int) -> list[tuple[str, dict[str, object]]]:
        return selectors.latest_attributes(ENV, NOON + HOUR, most_exposures=100, limit=limit)

    assert latest(10) == [
        ("alice", {"country": "NL"}),
        ("bob", {"country": "US", "age": 30}),
        ("alice", {"country": "DE"}),
    ]
    assert latest(1) == [("alice", {"country": "NL"})]
