"""The visits of the demo's experiment: who came when, and who bought. They are the same each time, on given days."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

# (control, treatment) first seen on each of seven days: 500 and 500 in all. On the fourth day the split is wrong.
USERS_BY_DAY = ((65, 73), (68, 78), (71, 79), (100, 50), (68, 77), (66, 74), (62, 69))
ANOMALOUS_DAY = 3
CONVERSIONS = {"control": 50, "treatment": 70}
VARIANTS = ("control", "treatment")
# How busy each hour of the day is, from 7 to 22 o'clock. Lunch and the evening are the busiest.
_HOURS = range(7, 23)
_WEIGHTS = (2, 4, 5, 6, 6, 9, 8, 6, 5, 5, 6, 8, 10, 11, 9, 5)
_BUY_WITHIN_MINUTES = (2, 55)
_COUNTRIES = {"US": 40, "DE": 20, "FR": 15, "GB": 15, "IN": 10}
_PLANS = {"free": 70, "pro": 25, "team": 5}
_PLATFORMS = {"web": 55, "ios": 25, "android": 20}


@dataclass(frozen=True, slots=True)
class Visit:
    """One user's first exposure, and the purchase that followed, if any."""

    user_id: str
    variant: str
    evaluation_id: UUID
    seen_at: datetime
    purchase_id: UUID | None
    bought_at: datetime | None
    amount: float | None
    attributes: dict[str, str]


def visits(first_day: datetime, assigned: Callable[[str], str | None]) -> Iterator[Visit]:
    """Yield the 1,000 visits of the seven days from `first_day` (a midnight, UTC).

    `assigned` returns the variant that the engine gives a user id. So every user has the variant of a real evaluation.
    """
    people = {variant: iter(ids) for variant, ids in _people(assigned).items()}
    buyers = _buyers()
    for day, counts in enumerate(USERS_BY_DAY):
        midnight = first_day + timedelta(days=day)
        for variant, count in zip(VARIANTS, counts, strict=True):
            for _ in range(count):
                user_id = next(people[variant])
                yield _visit(user_id, variant, midnight, buys=next(buyers[variant]))


def _people(assigned: Callable[[str], str | None]) -> dict[str, list[str]]:
    wanted = {variant: sum(day[index] for day in USERS_BY_DAY) for index, variant in enumerate(VARIANTS)}
    found: dict[str, list[str]] = {variant: [] for variant in VARIANTS}
    for number in range(1, 100_000):
        user_id = f"user-{number:05d}"
        variant = assigned(user_id)
        if variant in found and len(found[variant]) < wanted[variant]:
            found[variant].append(user_id)
        if all(len(found[variant]) == wanted[variant] for variant in VARIANTS):
            return found
    raise ValueError("The flag's split does not give both variants enough of the demo's users.")


def _buyers() -> dict[str, Iterator[bool]]:
    """Return for each variant whether its first, second, … user buys."""
    flags = {}
    for index, variant in enumerate(VARIANTS):
        total = sum(day[index] for day in USERS_BY_DAY)
        chosen = set(random.Random(f"demo:{variant}").sample(range(total), CONVERSIONS[variant]))  # noqa: S311 - a demo's dice
        flags[variant] = iter([position in chosen for position in range(total)])
    return flags


def _visit(user_id: str, variant: str, midnight: datetime, *, buys: bool) -> Visit:
    dice = random.Random(f"demo:{user_id}")  # noqa: S311 - a demo's dice
    hour = dice.choices(_HOURS, _WEIGHTS)[0]
    seen_at = midnight + timedelta(hours=hour, milliseconds=dice.randrange(3_600_000))
    evaluation_id = _uuid7(seen_at, dice)
    if not buys:
        return Visit(user_id, variant, evaluation_id, seen_at, None, None, None, _attributes(user_id))
    bought_at = seen_at + timedelta(minutes=dice.randint(*_BUY_WITHIN_MINUTES), milliseconds=dice.randrange(60_000))
    amount = round(dice.lognormvariate(3.6, 0.5), 2)
    purchase_id = _uuid7(bought_at, dice)
    return Visit(user_id, variant, evaluation_id, seen_at, purchase_id, bought_at, amount, _attributes(user_id))


def _attributes(user_id: str) -> dict[str, str]:
    dice = random.Random(f"demo:{user_id}:attributes")  # noqa: S311 - a demo's dice
    traits = {"country": _COUNTRIES, "plan": _PLANS, "platform": _PLATFORMS}
    return {name: dice.choices([*shares], [*shares.values()])[0] for name, shares in traits.items()}


def _uuid7(moment: datetime, dice: random.Random) -> UUID:
    """Return a UUIDv7 (RFC 9562) that is the same each time, so that seeding twice stores nothing twice."""
    unix_ms = int(moment.timestamp() * 1000)
    return UUID(int=unix_ms << 80 | 0x7 << 76 | dice.getrandbits(12) << 64 | 0x2 << 62 | dice.getrandbits(62))
