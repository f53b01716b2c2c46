"""Exposures of a flag by variant in a window, and whether they are in the proportions of its configuration."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from django.utils import timezone
from openflagship.engine import impact

from analytics import selectors as events
from analytics.selectors import FlagExposures
from analytics.windows import bounds
from experiments.statistics.srm import GATE_ALPHA, srm_test
from flags.models import FlagConfig
from flags.versions.history import flag_changes

DEFAULT_WINDOW = "7d"
_SECONDS = 30.0
# Fields of a flag's document that cannot move a unit to another variant.
_NO_PART_IN_THE_SPLIT = frozenset({"version", "metadata", "exposures"})


class TimeSpan(TypedDict):
    """A stretch of time: `since` belongs to it, `until` does not."""

    since: datetime
    until: datetime


class VariantExposures(TypedDict):
    """Exposures of one variant of a flag, and the unique users behind them; None: `users` is exact."""

    key: str
    exposures: int
    users: int
    usersRelativeError: float | None


class FlagRatio(TypedDict):
    """Whether a flag's split was kept. Figures are None where `reason` says why it cannot be judged.

    `judged` is the time whose users are counted for it, exactly.
    """

    since: datetime
    judged: TimeSpan | None
    chiSquare: float | None
    pValue: float | None
    warning: bool
    expected: dict[str, float] | None
    observed: dict[str, int] | None
    unexpectedUsers: int | None
    reason: str | None


class FlagSplit(TypedDict):
    """What `GET flags/{key}/exposures` answers."""

    window: TimeSpan
    variants: list[VariantExposures]
    expected: dict[str, float] | None
    srm: FlagRatio


@dataclass(frozen=True, slots=True)
class _PromisedSplit:
    """Shares (0 to 1) by variant since that moment. They are None, with a reason, where no shares are configured."""

    since: datetime
    shares: Mapping[str, float] | None
    reason: str | None = None


def exposures_resource(config: FlagConfig, window: str | None, *, now: datetime | None = None) -> FlagSplit:
    """Return what `GET flags/{key}/exposures` answers. Raises Invalid at a window that cannot be read.

    The counts are those of the whole window, bots left out, a unit once per variant that it saw. The sample ratio is
    that of the units since the split last changed, where that was in the window. It takes exact numbers.
    """
    since, until = bounds(window or DEFAULT_WINDOW, now or timezone.now())
    with events.answer_within(_SECONDS, what="Counting the exposures"):
        return _split_of_exposures(config, since, until)


def _split_of_exposures(config: FlagConfig, since: datetime, until: datetime) -> FlagSplit:
    place = (config.environment_id, config.flag.key)
    found = events.flag_exposures(*place, since, until)
    keys = [variant["key"] for variant in config.flag.variants]
    # Exposures may name a variant that the flag no longer has.
    keys += sorted(found.keys() - set(keys))
    split = _split(config, since, until)
    if split.shares is None:
        ratio = _not_judged(split)
    else:
        judged, counted = _exact(place, max(split.since, since), until)
        users = {key: counted[key].users if key in counted else 0 for key in keys}
        ratio = _sample_ratio(split.since, split.shares, judged, users)
    return {
        "window": {"since": since, "until": until},
        "variants": [
            {"key": key, "exposures": row.exposures, "users": row.users, "usersRelativeError": row.relative_error}
            for key in keys
            for row in [found.get(key, FlagExposures(0, 0))]
        ],
        "expected": ratio["expected"],
        "srm": ratio,
    }


def _exact(place: tuple[int, str], since: datetime, until: datetime) -> tuple[TimeSpan, dict[str, FlagExposures]]:
    """Count whole UTC days, which costs no raw events; where nobody was there then, the last day until now."""
    days = events.whole_days(since, until)
    if days is not None:
        found = events.exact_flag_exposures(*place, *days)
        if found or days[1] >= until:
            return {"since": days[0], "until": days[1]}, found
        since = days[1]
    return {"since": since, "until": until}, events.exact_flag_exposures(*place, since, until)


def _split(config: FlagConfig, since: datetime, until: datetime) -> _PromisedSplit:
    """The split at the end of the window, and the moment within the window since which it applies."""
    steps = flag_changes(config.environment, config.flag.key).filter(created_at__lt=until)
    current: dict[str, Any] | None = None
    began = since
    for step in steps.iterator():
        if current is None:
            if step.document is None:
                return _PromisedSplit(step.created_at, None, "The flag was archived, so nothing was promised.")
            current = step.document
        elif step.document is None or not _are_alike(step.document, current):
            break
        began = step.created_at
        if began <= since:
            break
    if current is None:
        return _PromisedSplit(since, None, "The flag was not served in this window.")
    promised = impact(current, current)
    if promised.basis != "everyone":
        return _PromisedSplit(
            max(began, since),
            None,
            "Targets, rules, prerequisites or an audience decide for some users, so no one split is promised to all: "
            "see the results of an experiment.",
        )
    shares = {key: share for key, share in promised.before.items() if key is not None}
    return _PromisedSplit(max(began, since), shares)


def _are_alike(document: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = (document.keys() | other.keys()) - _NO_PART_IN_THE_SPLIT
    return all(document.get(name) == other.get(name) for name in names)


def _sample_ratio(
    since: datetime, promised: Mapping[str, float], judged: TimeSpan, users: Mapping[str, int]
) -> FlagRatio:
    """`expected` and `observed` in users; null with a reason where the ratio cannot be judged."""
    shares = [promised.get(key, 0.0) for key in users]
    test = srm_test(list(users.values()), shares)
    total = math.fsum(count for count, share in zip(users.values(), shares, strict=True) if share)
    expected = {key: total * share for key, share in zip(users, shares, strict=True)}
    return {
        "since": since,
        "judged": judged,
        "chiSquare": test.chi2,
        "pValue": test.p_value,
        "warning": test.p_value is not None and test.p_value < GATE_ALPHA,
        "expected": expected,
        "observed": dict(users),
        "unexpectedUsers": int(test.unexpected_users),
        "reason": test.reason,
    }


def _not_judged(split: _PromisedSplit) -> FlagRatio:
    return {
        "since": split.since,
        "judged": None,
        "chiSquare": None,
        "pValue": None,
        "warning": False,
        "expected": None,
        "observed": None,
        "unexpectedUsers": None,
        "reason": split.reason,
    }
