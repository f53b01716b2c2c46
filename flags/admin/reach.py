"""Whom a change reaches before it is saved: shares, counted people, what nobody can tell, and what depends on it.

Every page that changes what is served shows it with `flags/reach.html`, and asks once more by `is_asked`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from django.db import OperationalError, transaction

from analytics.selectors import answer_within
from flags.admin.effects import Effect, asks_rules, effects
from flags.documents import flag_document
from flags.evaluation.impact import affected_users, experiments_touched, phases_begun_by, revalued
from flags.models import FlagConfig
from tenancy.errors import ServiceError
from tenancy.models import Environment

# A change in production that moves this share of a group, or of those counted, needs a second confirmation.
LARGE_SHARE = 0.10
_MOST_NAMED = 20
# Whoever saves waits so long at most for people to be counted.
_COUNT_SECONDS = 5.0

Found = TypeVar("Found")


class Crowd(Protocol):
    """Units seen lately with attributes, and how many of them come into a segment or leave it."""

    @property
    def units(self) -> int: ...
    @property
    def joined(self) -> int: ...
    @property
    def left(self) -> int: ...
    @property
    def has_pseudonyms(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Reach:
    """`effects` are exact shares, `unknown` sentences about what attributes or other flags decide.

    `counted` are last week's users, as in an impact; None where nobody can be counted. `dependents` are flags whose
    answers follow this one's, `experiments` running ones that the change touches, and `phases` those in which it
    begins a phase.
    """

    environment: Environment
    effects: Sequence[Effect] = ()
    unknown: Sequence[str] = ()
    counted: Mapping[str, Any] | None = None
    membership: Crowd | None = None
    dependents: Sequence[str] = ()
    experiments: Sequence[Mapping[str, Any]] = ()
    phases: Sequence[Mapping[str, Any]] = ()

    @property
    def is_large(self) -> bool:
        return any(effect.moved >= LARGE_SHARE for effect in self.effects) or self._counted_share >= LARGE_SHARE

    @property
    def is_unsure(self) -> bool:
        """Whether something is unknown that the counted people do not settle."""
        return bool(self.dependents) or (bool(self.unknown) and not self._is_settled)

    @property
    def is_asked(self) -> bool:
        return bool(self.phases) or (self.environment.is_production and (self.is_large or self.is_unsure))

    @property
    def is_nothing(self) -> bool:
        return not (self.effects or self.unknown or self.dependents or self.phases)

    @property
    def _counted_share(self) -> float:
        if self.membership is not None:
            moved = self.membership.joined + self.membership.left
            return moved / self.membership.units if self.membership.units else 0.0
        found = self.counted or {}
        return (found.get("changed") or 0) / found["users"] if found.get("users") else 0.0

    @property
    def _is_settled(self) -> bool:
        if self.membership is not None:
            return bool(self.membership.units) and not self.membership.has_pseudonyms
        found = self.counted or {}
        return bool(found.get("users")) and found.get("changed") is not None and not found.get("undetermined")


def reach_of_flag(
    environment: Environment, before: Mapping[str, Any], after: Mapping[str, Any], *, is_shown: bool = False
) -> Reach:
    """Compare two documents of one flag.

    The people are counted one by one, which may take seconds: only where it `is_shown` or asked about, or may be.
    """
    old, new = dict(before), dict(after)
    is_served_differently = served_part(old) != served_part(new) and (asks_rules(old) or asks_rules(new))
    moved = effects(old, new)
    if not (is_served_differently or moved):
        return Reach(environment, phases=phases_begun_by(environment, before, after))
    found = Reach(
        environment,
        effects=moved,
        unknown=unknown_reach(old, new),
        dependents=[config.flag.key for config in dependents_of(environment, str(after["key"]))],
        experiments=experiments_touched(environment, [str(after["key"])]),
        phases=phases_begun_by(environment, before, after),
    )
    if not (is_shown or found.is_asked or environment.is_production):
        return found
    return replace(found, counted=counted_in_time(lambda: affected_users(environment, before, after)))


def reaches_of_flag(
    config: FlagConfig, before: Mapping[str, Any], after: Mapping[str, Any], *, is_shown: bool = False
) -> list[Reach]:
    """Compare two documents of one flag wherever the change is served, its own environment first.

    Variants belong to the project: another value changes every environment. Of the others production comes first.
    """
    found = [reach_of_flag(config.environment, before, after, is_shown=is_shown)]
    if not revalued(before, after):
        return found
    others = FlagConfig.objects.filter(flag=config.flag_id).exclude(pk=config.pk).prefetch_related("rules")
    others = others.select_related("flag", "environment__project__organization")
    for other in others.order_by("-environment__is_production", "environment__key"):
        document = flag_document(other)
        changed = {**document, "variants": after["variants"]}
        found.append(reach_of_flag(other.environment, document, changed, is_shown=is_shown))
    return found


def reach_of_many(environment: Environment, keys: Sequence[str]) -> Reach:
    """Return what depends on flags that are all to be switched at once, with two queries. Shares are shown by flag."""
    chosen = set(keys)
    here = FlagConfig.objects.filter(environment=environment, flag__is_archived=False).select_related("flag")
    dependents = [
        row.flag.key
        for row in here.exclude(prerequisites=[]).order_by("flag__key")
        if row.flag.key not in chosen and any(item["flagKey"] in chosen for item in row.prerequisites)
    ]
    touched = experiments_touched(environment, chosen)
    return Reach(environment, dependents=dependents[:_MOST_NAMED], experiments=touched[:_MOST_NAMED])


def served_part(document: dict[str, Any]) -> dict[str, Any]:
    """What of a flag's document decides answers."""
    names = ("enabled", "killSwitchVariant", "defaultVariant", "offVariant", "bucketBy", "salt", "variants")
    return {name: document.get(name) for name in (*names, "prerequisites", "targets", "rules", "allocation")}


def unknown_reach(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name each part of the change whose reach depends on attributes or on other flags."""
    was, now = _asked(before), _asked(after)
    old, new = ({rule["id"]: rule for rule in document["rules"]} for document in (was, now))
    said = [f"{_named(rule)} is new" for key, rule in new.items() if key not in old]
    said += [f"{_named(rule)} is gone" for key, rule in old.items() if key not in new]
    common = [key for key in new if key in old]
    said += [
        f"{_named(new[key])} has other conditions" for key in common if old[key]["conditions"] != new[key]["conditions"]
    ]
    if common != [key for key in old if key in new]:
        said.append("the rules are in another order")
    found = [f"We cannot tell how many users this reaches: {text}." for text in said]
    if was["targets"] != now["targets"]:
        units = {unit for target in [*was["targets"], *now["targets"]] for unit in target["userIds"]}
        found.append(f"Single targets change; up to {len(units):,} users are named in them.")
    found += [
        f"The variant “{key}” has another value: we cannot tell how many users get it past the shares."
        for key in sorted(revalued(before, after) & _given_past_shares(now))
    ]
    if was["prerequisites"] != now["prerequisites"]:
        found.append("Prerequisites change: whom they let through depends on the flags that are named in them.")
    if before.get("bucketBy") != after.get("bucketBy"):
        found.append("Users are dealt anew, by another attribute.")
    return found


def _asked(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the parts that a flag that is off or killed does not ask."""
    if asks_rules(document):
        return document
    return {**document, "rules": [], "targets": [], "prerequisites": [], "experiment": None}


def _given_past_shares(document: Mapping[str, Any]) -> set[str]:
    """The variants that single targets, prerequisites and an audience give to users whom `effects` does not count."""
    given = {target["variant"] for target in document["targets"]}
    given |= {document["offVariant"]} if document["prerequisites"] else set()
    if (document["experiment"] or {}).get("audience") is not None:
        given |= {document["defaultVariant"], *(variant for *_, variant in document["allocation"])}
    return given


def _named(rule: Mapping[str, Any]) -> str:
    return f"the rule “{rule['name']}”" if rule.get("name") else f"the rule with priority {rule['priority']}"


def dependents_of(environment: Environment, key: str) -> list[FlagConfig]:
    """Return the flags that have this one as a prerequisite; at most 20."""
    rows = FlagConfig.objects.filter(
        environment=environment, flag__is_archived=False, prerequisites__contains=[{"flagKey": key}]
    )
    return list(rows.select_related("flag").order_by("flag__key")[:_MOST_NAMED])


def counted_in_time(count: Callable[[], Found]) -> Found | None:
    """What `count` returns; None where the event store is away or takes too long: what is unknown then stays so."""
    try:
        with answer_within(_COUNT_SECONDS, what="Counting the people"), transaction.atomic():
            return count()
    except (OperationalError, ServiceError):
        return None
