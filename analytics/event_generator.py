"""A realistic load of events with known truth, for tests, benchmarks and demonstrations. A seed gives one load.

Users arrive by the hour of day and come back. Some convert, some of them late. Some events are sent twice or out of
order. There are bots, and units that see two variants. The truth is counted from each unit's own events while the load
is made, not by the queries that it checks.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from analytics.event_records import Batch, ConversionEvent, ExposureEvent

_DAY_MS = 86_400_000
_WINDOW_MS = 7 * _DAY_MS
_GRACE_MS = 7 * _DAY_MS
_USERS_PER_CHUNK = 2000
_UUID7 = (0x7 << 76) | (0x2 << 62)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make. `events` counts different exposures and conversions; duplicates come on top."""

    environment_id: int
    users: int
    events: int
    seed: int
    start: datetime
    days: int = 14
    flag_key: str = "new-checkout"
    experiment: str | None = "checkout-test"
    event_name: str = "purchase"
    conversion_rates: tuple[tuple[str, float], ...] = (("control", 0.10), ("treatment", 0.12))
    bot_share: float = 0.01
    crossover_share: float = 0.005
    late_share: float = 0.01
    duplicate_share: float = 0.10


@dataclass(slots=True)
class Truth:
    """What a correct analysis of the whole period finds, with a window and a grace of 7 days."""

    exposures: int = 0
    conversion_events: int = 0
    duplicates: int = 0
    users: Counter[str] = field(default_factory=Counter)
    daily: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    crossovers: int = 0
    bots: int = 0
    converted: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    totals: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    flag_exposures: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "daily"}
        return {**plain, "daily": {str(day): counts for day, counts in sorted(self.daily.items())}}


class Generator:
    """Makes the plan's events chunk by chunk; `truth` is complete once `batches` is exhausted."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.truth = Truth()
        self._random = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose
        self._start_ms = round(plan.start.timestamp() * 1000)
        self._end_ms = self._start_ms + plan.days * _DAY_MS
        self._variants = [variant for variant, _ in plan.conversion_rates]
        self._rates = dict(plan.conversion_rates)
        expected_conversions = plan.users * sum(self._rates.values()) / len(self._rates) * 1.2
        self._exposures_per_user = max(1.0, (plan.events - expected_conversions) / plan.users)

    def batches(self, size: int = 500) -> Iterator[Batch]:
        """Yield batches in order of arrival; a duplicate may come in the same batch as its first copy or later."""
        for first in range(0, self.plan.users, _USERS_PER_CHUNK):
            arrivals: list[tuple[int, ExposureEvent | ConversionEvent]] = []
            for number in range(first, min(first + _USERS_PER_CHUNK, self.plan.users)):
                arrivals += self._story(number)
            again = self._random.sample(arrivals, int(len(arrivals) * self.plan.duplicate_share))
            self.truth.duplicates += len(again)
            arrivals += [(arrived + self._random.randrange(_DAY_MS), event) for arrived, event in again]
            arrivals.sort(key=lambda pair: pair[0])
            for start in range(0, len(arrivals), size):
                piece = [event for _, event in arrivals[start : start + size]]
                yield Batch(
                    [event for event in piece if isinstance(event, ExposureEvent)],
                    [event for event in piece if isinstance(event, ConversionEvent)],
                )

    def _story(self, number: int) -> Iterator[tuple[int, ExposureEvent | ConversionEvent]]:
        """Return one unit's events, each with its arrival in Unix milliseconds, possibly out of order."""
        rng, plan = self._random, self.plan
        is_bot = rng.random() < plan.bot_share
        unit_id = f"bot-{number}" if is_bot else f"user-{number}"
        variant = rng.choice(self._variants)
        times = sorted(self._visit_ms() for _ in range(self._poisson(self._exposures_per_user - 1) + 1))
        crosses = len(times) > 1 and rng.random() < plan.crossover_share
        shown = [variant] * len(times)
        if crosses:
            others = [other for other in self._variants if other != variant]
            shown[rng.randrange(1, len(times)) :] = [rng.choice(others)]
            shown += [variant] * (len(times) - len(shown))
            crosses = times[shown.index(next(v for v in shown if v != variant))] > times[0]
        self._count_exposures(is_bot, crosses, variant, times[0], shown)
        for occurred_ms, seen in zip(times, shown, strict=True):
            yield occurred_ms + rng.randrange(60_000), self._exposure(unit_id, seen, occurred_ms)
        counts = not is_bot and not crosses
        yield from self._conversions(unit_id, variant, times[0], is_counted=counts)

    def _conversions(
        self, unit_id: str, variant: str, first_ms: int, *, is_counted: bool
    ) -> Iterator[tuple[int, ConversionEvent]]:
        rng, truth = self._random, self.truth
        if rng.random() >= self._rates[variant]:
            return
        deadline_ms = self._end_ms + _GRACE_MS
        has_converted = False
        for _ in range(1 + (rng.random() < 0.2)):
            occurred_ms = first_ms + int(rng.expovariate(1 / (1.5 * _DAY_MS)))
            is_late = rng.random() < self.plan.late_share
            received_ms = deadline_ms + rng.randrange(_DAY_MS) if is_late else occurred_ms + rng.randrange(60_000)
            value = round(rng.lognormvariate(3, 0.8), 2)
            truth.conversion_events += 1
            if is_counted and occurred_ms < first_ms + _WINDOW_MS:
                if max(occurred_ms, received_ms) >= deadline_ms:
                    truth.late[variant] += 1
                else:
                    has_converted = True
                    truth.counts[variant] += 1
                    truth.totals[variant] += value
            yield received_ms, self._conversion(unit_id, value, occurred_ms, received_ms)
        if has_converted:
            truth.converted[variant] += 1

    def _count_exposures(
        self,
        is_bot: bool,
        crosses: bool,
        variant: str,
        first_ms: int,
        shown: list[str],
    ) -> None:
        truth = self.truth
        truth.exposures += len(shown)
        if is_bot:
            truth.bots += 1
            return
        truth.flag_exposures.update(shown)
        if crosses:
            truth.crossovers += 1
            return
        truth.users[variant] += 1
        truth.daily[datetime.fromtimestamp(first_ms / 1000, UTC).date()][variant] += 1

    def _visit_ms(self) -> int:
        """Return a moment of the period. Evenings are three times as busy as nights."""
        while True:
            moment = self._start_ms + self._random.randrange(self._end_ms - self._start_ms)
            hour = moment % _DAY_MS / 3_600_000
            if self._random.random() < 0.5 + 0.5 * math.sin((hour - 11) / 24 * 2 * math.pi) * 0.5:
                return moment

    def _poisson(self, mean: float) -> int:
        """Return a Poisson number: Knuth's method below 30, the normal approximation above."""
        if mean > 30:
            return max(0, round(self._random.gauss(mean, math.sqrt(mean))))
        limit, product, count = math.exp(-mean), self._random.random(), 0
        while product > limit:
            product *= self._random.random()
            count += 1
        return count

    def _id(self, unix_ms: int) -> UUID:
        bits = self._random.getrandbits(74)
        return UUID(int=(unix_ms << 80) | ((bits >> 62) << 64) | _UUID7 | (bits & ((1 << 62) - 1)))

    def _exposure(self, unit_id: str, variant: str, occurred_ms: int) -> ExposureEvent:
        return ExposureEvent(
            self._id(occurred_ms),
            self.plan.environment_id,
            self.plan.flag_key,
            unit_id,
            variant,
            "SPLIT",
            None,
            self.plan.experiment,
            1,
            occurred_ms,
            occurred_ms,
            "generated",
        )

    def _conversion(self, unit_id: str, value: float, occurred_ms: int, received_ms: int) -> ConversionEvent:
        return ConversionEvent(
            self._id(occurred_ms),
            self.plan.environment_id,
            unit_id,
            self.plan.event_name,
            value,
            occurred_ms,
            received_ms,
        )


def default_start(days: int) -> datetime:
    """Return a midnight (UTC) so long ago that the period, its conversions and its grace are over."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days + 15)
