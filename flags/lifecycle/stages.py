"""The stage of a flag, with its reasons in plain sentences. It is pure: it asks neither a clock nor a database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """In the order of a life."""

    NEW = "new"
    LIVE = "live"
    COMPLETE = "complete"
    READY = "ready_to_archive"
    ARCHIVED = "archived"

    @property
    def label(self) -> str:
        return self.value.replace("_", " ")


REASONS: Final = (
    "archived",
    "made_lately",
    "permanent",
    "changed_lately",
    "unchanged",
    "killed",
    "in_experiment",
    "needed",
    "decides",
    "differs",
    "one_variant",
    "asked_for",
    "not_asked_for",
    "not_counted",
    "referenced",
    "not_referenced",
    "not_scanned",
    "overdue",
    "kind_unknown",
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A project's own limits, in days."""

    new_days: int
    unchanged_days: int
    unused_days: int


@dataclass(frozen=True, slots=True)
class InEnvironment:
    """What the flag does in one environment. `served` is the one variant that everybody gets, if there is one."""

    name: str
    is_production: bool
    is_enabled: bool
    served: str | None
    is_killed: bool = False
    in_experiment: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a flag in its project. `asked_at` is its last evaluation, with a unit or without.

    `counted_since` is when evaluations began to be counted: nothing is known of the time before. `references` is the
    number of places in code; None where no repository was scanned. `needed_by` has flags with this prerequisite.
    """

    created_at: datetime
    changed_at: datetime
    places: tuple[InEnvironment, ...]
    kind: str = ""
    is_lasting: bool = False
    expected_end: date | None = None
    archived_at: datetime | None = None
    asked_at: datetime | None = None
    asked_by: str = ""
    counted_since: datetime | None = None
    references: int | None = None
    needed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence. `code` is one of REASONS."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Found:
    """A stage and what speaks for it."""

    stage: Stage
    reasons: tuple[Reason, ...]
    is_overdue: bool = False


def stage_of(evidence: Evidence, limits: Thresholds, now: datetime) -> Found:
    """Name the stage. In doubt a flag is live: nothing that may still be needed is called ready to archive."""
    if evidence.archived_at is not None:
        return Found(Stage.ARCHIVED, (Reason("archived", f"It was archived on {_day(evidence.archived_at)}."),))
    is_overdue = evidence.expected_end is not None and evidence.expected_end < now.date()
    stage, reasons = _stage(evidence, limits, now)
    if is_overdue:
        reasons.append(Reason("overdue", f"Its expected end, {evidence.expected_end}, has passed."))
    if not evidence.kind and stage in {Stage.COMPLETE, Stage.READY}:
        reasons.append(Reason("kind_unknown", "Nobody has said what kind of flag it is, so it counts as temporary."))
    return Found(stage, tuple(reasons), is_overdue)


def _stage(evidence: Evidence, limits: Thresholds, now: datetime) -> tuple[Stage, list[Reason]]:
    use, is_unused = _use(evidence, limits, now)
    age = now - evidence.created_at
    if evidence.asked_at is None and not evidence.references and age < timedelta(days=limits.new_days):
        return Stage.NEW, [Reason("made_lately", f"It was made {_days(age)} ago, and nobody has asked for it yet.")]
    alive = list(_held(evidence, limits, now))
    if alive:
        return Stage.LIVE, [*alive, use]
    served, decides = _served(evidence.places)
    code = _code(evidence, limits)
    if served is None and (not is_unused or evidence.references):
        return Stage.LIVE, [decides, use, code]
    if is_unused and not evidence.references:
        return Stage.READY, [*([decides] if served is not None else []), use, _unchanged(evidence, now), code]
    return Stage.COMPLETE, [decides, _unchanged(evidence, now), use, code]


def _held(evidence: Evidence, limits: Thresholds, now: datetime) -> Iterator[Reason]:
    """Yield what makes a flag live whatever it serves."""
    if evidence.is_lasting:
        yield Reason("permanent", "It is meant to stay.")
    if now - evidence.changed_at < timedelta(days=limits.unchanged_days):
        yield Reason("changed_lately", f"It was changed {_days(now - evidence.changed_at)} ago.")
    for place in evidence.places:
        if place.is_killed:
            yield Reason("killed", f"Its kill switch is on in {place.name}.")
        if place.in_experiment:
            yield Reason("in_experiment", f"An experiment runs on it in {place.name}.")
    if evidence.needed_by:
        yield Reason("needed", f"It is a prerequisite of {_listed(evidence.needed_by)}.")


def _served(places: tuple[InEnvironment, ...]) -> tuple[str | None, Reason]:
    """Return the one variant that everybody gets wherever it counts, and the sentence; None if the flag decides.

    Production counts, and every other environment where the flag is on. So a flag that is on in staging and still off
    in production decides: it may be on its way.
    """
    has_production = any(place.is_production for place in places)
    counted = [place for place in places if place.is_enabled or (place.is_production or not has_production)]
    if not counted:
        return "", Reason("one_variant", "It is in no environment any more.")
    deciding = [place.name for place in counted if place.served is None]
    if deciding:
        return None, Reason("decides", f"It gives different variants in {_listed(deciding)}.")
    served = {place.served for place in counted}
    if len(served) > 1:
        each = ", ".join(f"{place.served} in {place.name}" for place in counted)
        return None, Reason("differs", f"Environments differ: everybody gets {each}.")
    variant = served.pop()
    names = _listed([place.name for place in counted])
    return variant, Reason("one_variant", f"Everybody gets {variant} in {names}.")


def _use(evidence: Evidence, limits: Thresholds, now: datetime) -> tuple[Reason, bool]:
    """Return what is known of its evaluations, and whether it counts as unused."""
    limit = timedelta(days=_unused_days(evidence, limits))
    if evidence.asked_at is not None:
        by = f", by {evidence.asked_by}" if evidence.asked_by else ""
        said = f"It was asked for last {_days(now - evidence.asked_at)} ago{by}."
        is_unused = now - evidence.asked_at > limit
        return Reason("not_asked_for" if is_unused else "asked_for", said), is_unused
    since = max(evidence.created_at, evidence.counted_since or evidence.created_at)
    if now - since > limit:
        return Reason("not_asked_for", f"Nobody has asked for it in {_days(now - since)}."), True
    said = f"Evaluations have been counted for {_days(now - since)}, and nobody asked for it: too short to say."
    return Reason("not_counted", said), False


def _unchanged(evidence: Evidence, now: datetime) -> Reason:
    return Reason("unchanged", f"Nobody has changed it for {_days(now - evidence.changed_at)}.")


def _unused_days(evidence: Evidence, limits: Thresholds) -> int:
    """Code that nobody has scanned may still name the flag, so its evaluations alone must say so for longer."""
    return limits.unused_days * (2 if evidence.references is None else 1)


def _code(evidence: Evidence, limits: Thresholds) -> Reason:
    if evidence.references is None:
        days = _unused_days(evidence, limits)
        return Reason("not_scanned", f"No repository has been scanned for it, so it is unused only after {days} days.")
    if not evidence.references:
        return Reason("not_referenced", "No scanned repository names it.")
    places = "1 place" if evidence.references == 1 else f"{evidence.references:,} places"
    return Reason("referenced", f"Code names it in {places}.")


def _days(span: timedelta) -> str:
    days = max(0, span.days)
    return "less than a day" if not days else "1 day" if days == 1 else f"{days:,} days"


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """The first five names."""
    shown = [*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
