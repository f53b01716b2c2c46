"""Random days of an experiment, for what is kept from night to night: any difference to the whole shows."""

from datetime import datetime, timedelta
from random import Random

from analytics.event_generator import default_start
from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from analytics.tests.conftest import conversion, exposure, milliseconds

START = default_start(14)
DAY = timedelta(days=1)


class World:
    """Random days of one experiment: late, crossing, bots' and repeated events, in the order of arrival."""

    def __init__(self, environment_id: int, seed: int) -> None:
        self.environment_id = environment_id
        self.random = Random(seed)
        self.sent: list[ExposureEvent | ConversionEvent] = []

    def day(self, number: int) -> None:
        midnight = START + number * DAY
        events = [self._event(midnight + self._within(DAY), f"user-{self.random.randrange(60)}") for _ in range(50)]
        events += [
            self._event(midnight - self._within(8 * DAY), f"user-{self.random.randrange(60)}", midnight)
            for _ in range(4 if number > 1 else 0)
        ]
        events += self.random.sample(self.sent, min(3, len(self.sent)))
        self.sent += events
        store_events(
            Batch(
                [event for event in events if isinstance(event, ExposureEvent)],
                [event for event in events if isinstance(event, ConversionEvent)],
            )
        )

    def _within(self, length: timedelta) -> timedelta:
        return timedelta(milliseconds=self.random.randrange(length // timedelta(milliseconds=1)))

    def _event(self, at: datetime, unit: str, received: datetime | None = None) -> ExposureEvent | ConversionEvent:
        came = {"received_ms": milliseconds(received or at)}
        if self.random.random() < 0.35:
            variant = "treatment" if (hash_of(unit) + (self.random.random() < 0.03)) % 2 else "control"
            # The same number in two ways; and what is no segment.
            countries = [None, '{"country": "DE"}', '{"country": 1}', '{"country": 1.0}', '{"country": ["US"]}']
            return exposure(
                self.environment_id,
                unit,
                variant,
                at,
                attributes=self.random.choice(countries),
                user_agent=self.random.choice([None] * 9 + ["Googlebot"]),
                **came,
            )
        return conversion(
            self.environment_id,
            unit,
            at,
            event_name=self.random.choice(["purchase", "visit"]),
            value=self.random.choice([None, round(self.random.uniform(-3, 30), 4)]),
            properties=self.random.choice([None, '{"tax": 1.25}', '{"tax": "none"}']),
            **came,
        )


def hash_of(unit: str) -> int:
    return int(unit.removeprefix("user-")) * 7 // 3
