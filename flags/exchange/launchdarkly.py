"""LaunchDarkly: flags and segments as its REST API lists them (`items` with `environments`)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flags.exchange.foreign_values import (
    basis_points,
    chosen_environment,
    key_of,
    lay_out,
    objects,
    texts,
    type_of,
    unique,
)
from flags.exchange.left_out import NARROWED, Segments, widens
from flags.exchange.notes import Notes, NotExpressibleError
from tenancy.errors import Invalid

_WEIGHTS = 100_000
_SINGLE = {
    "lessThan": "less_than",
    "lessThanOrEqual": "less_or_equal",
    "greaterThan": "greater_than",
    "greaterThanOrEqual": "greater_or_equal",
    "semVerEqual": "semver_equal",
    "semVerLessThan": "semver_less",
    "semVerGreaterThan": "semver_greater",
    "contains": "contains",
    "matches": "matches",
    "before": "before",
    "after": "after",
}
_LISTED = {"startsWith": "starts_with", "endsWith": "ends_with"}


def convert(data: Mapping[str, Any], environment: str | None, notes: Notes) -> dict[str, Any]:
    listed = data.get("flags", data)
    flags = objects(listed.get("items", listed) if isinstance(listed, Mapping) else listed, "flags")
    sections = data.get("segments") or {}
    rows = objects(sections.get("items", sections) if isinstance(sections, Mapping) else sections, "segments")
    if not any("variations" in flag for flag in flags):
        raise Invalid("No flag of this file has variations; send LaunchDarkly's list of flags.", attr="data.flags")
    flags = [flag for flag in flags if isinstance(flag.get("key"), str)]
    chosen = chosen_environment(environment, list(dict.fromkeys(name for flag in flags for name in _configs(flag))))
    names = {flag["key"]: _variant_keys(flag) for flag in flags}
    incomplete = Segments()
    segments = [_segment(row, notes, incomplete) for row in rows if isinstance(row.get("key"), str)]
    incomplete.spread({segment["key"]: segment["conditions"] for segment in segments})
    found = []
    for flag in flags:
        config = _configs(flag).get(chosen or "")
        if not isinstance(config, Mapping):
            notes.add("flag", flag["key"], f"The file has no configuration of it for {chosen!r}; it is left out.")
            continue
        if "_summary" in config and "fallthrough" not in config:
            raise Invalid(
                "The file has summaries alone; ask LaunchDarkly for the list of flags with summary=0.",
                attr="data.flags",
                code="unreadable",
            )
        found.append(_flag(flag, names, config, notes, incomplete))
    return {"flags": found, "segments": segments}


def _configs(flag: Mapping[str, Any]) -> Mapping[str, Any]:
    found = flag.get("environments")
    return found if isinstance(found, Mapping) else {}


def _variant_keys(flag: Mapping[str, Any]) -> list[str]:
    taken: set[str] = set()
    found = []
    for number, variation in enumerate(objects(flag.get("variations"), "variations")):
        value = variation.get("value")
        default = {True: "true", False: "false"}[value] if isinstance(value, bool) else f"variation-{number}"
        found.append(unique(key_of(variation.get("name"), default), taken))
    return found


def _flag(
    flag: Mapping[str, Any],
    names: Mapping[str, list[str]],
    config: Mapping[str, Any],
    notes: Notes,
    incomplete: Segments,
) -> dict[str, Any]:
    key = str(flag["key"])
    keys = names[key]
    values = [variation.get("value") for variation in objects(flag.get("variations"), "variations")]
    reader = _Config(key, keys, config, notes, incomplete)
    off = reader.variant(config.get("offVariation")) or (keys[0] if keys else None)
    if config.get("offVariation") is None:
        notes.add(
            "flag", key, "It has no off variation, where the caller's default would do; its first variation does."
        )
    kind = type_of(values)
    refusing = {name for name, value in zip(keys, values, strict=True) if kind == "boolean" and value is False}
    allocation, default = reader.serve(config.get("fallthrough"), "the default rule")
    rules, targets = reader.rules(), reader.targets()
    is_narrowed = reader.is_narrowed({variant for _, _, variant in allocation} | {default or ""}, refusing or {off})
    if is_narrowed:
        notes.add("flag", key, NARROWED)
        # With true as its off variation it would let everybody in.
        off = min(refusing, default=off)
    return {
        "key": key,
        "name": flag.get("name") or key,
        "description": flag.get("description") or "",
        "type": kind,
        **({"permanent": not flag["temporary"]} if isinstance(flag.get("temporary"), bool) else {}),
        "tags": [tag[:60] for tag in texts(flag.get("tags"))],
        "variants": [{"key": name, "value": value} for name, value in zip(keys, values, strict=True)],
        "status": "archived" if flag.get("archived") else "active",
        "enabled": config.get("on") is True and not is_narrowed,
        "defaultVariant": default or (keys[0] if keys else None),
        "offVariant": off,
        "bucketBy": reader.bucket_by,
        "prerequisites": reader.prerequisites(names),
        "targets": targets,
        "rules": rules,
        "allocation": allocation,
    }


@dataclass(frozen=True, slots=True)
class _Given:
    """What a rule gives; `conditions` is None where it could not be carried over."""

    variants: frozenset[str]
    conditions: list[dict[str, Any]] | None


class _Config:
    """One flag's configuration in one environment."""

    def __init__(
        self, key: str, keys: list[str], config: Mapping[str, Any], notes: Notes, incomplete: Segments
    ) -> None:
        self.key, self.keys, self.config, self.notes, self.incomplete = key, keys, config, notes, incomplete
        self.bucket_by = "userId"
        self.given: list[_Given] = []
        self.lost_targets: set[str] = set()

    def is_narrowed(self, default: set[str], denied: Collection[str | None]) -> bool:
        """Whether what is left out may have denied something. Asked after the rules and targets were read."""
        refusals = {name for name in denied if name}
        later = {name for name in default if name}
        found = False
        for given in reversed(self.given):
            conditions = given.conditions
            is_smaller = conditions is None or self.incomplete.matches_fewer(conditions)
            found |= is_smaller and widens(given.variants, later, refusals)
            if conditions is not None:
                found |= self.incomplete.matches_more(conditions) and bool(given.variants - refusals)
            later |= given.variants
        return found or any(widens({lost}, later, refusals) for lost in self.lost_targets)

    def variant(self, index: Any) -> str | None:
        is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(self.keys)
        return self.keys[index] if is_index else None

    def serve(self, decision: Any, where: str) -> tuple[list[list[Any]], str | None]:
        """Return (allocation, variant), of which one is empty."""
        if not isinstance(decision, Mapping):
            return [], None
        rollout = decision.get("rollout")
        if not isinstance(rollout, Mapping):
            return [], self.variant(decision.get("variation"))
        if rollout.get("kind") == "experiment" or decision.get("experiment"):
            self.notes.add("flag", self.key, f"The experiment in {where} comes as a plain percentage rollout.")
        kind = rollout.get("contextKind") or "user"
        if kind != "user":
            detail = f"The rollout in {where} deals by the context kind {kind!r}; here it deals by {self.bucket_by}."
            self.notes.add("flag", self.key, detail)
        bucket_by = str(rollout.get("bucketBy") or "key") if kind == "user" else "key"
        if bucket_by != "key":
            if self.bucket_by not in {"userId", bucket_by}:
                self.notes.add(
                    "flag", self.key, f"{where} buckets by {bucket_by}, others by {self.bucket_by}; one is kept."
                )
            self.bucket_by = bucket_by
        shares = []
        for item in objects(rollout.get("variations"), "rollout.variations"):
            name, width = self.variant(item.get("variation")), basis_points(item.get("weight"), _WEIGHTS)
            if name is not None and width is not None:
                shares.append((name, width))
        self.notes.add("flag", self.key, f"The rollout in {where} keeps its shares; who is in which is dealt anew.")
        return lay_out(shares), None

    def prerequisites(self, names: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        found = []
        for item in objects(self.config.get("prerequisites"), "prerequisites"):
            other, index = str(item.get("key")), item.get("variation")
            keys = names.get(other, [])
            if isinstance(index, int) and 0 <= index < len(keys):
                found.append({"flagKey": other, "variants": [keys[index]]})
            else:
                # Without its prerequisite the flag would be on for more people than before.
                found.append({"flagKey": other, "variants": [f"variation-{index}"]})
        return found

    def targets(self) -> list[dict[str, Any]]:
        users: dict[str, list[str]] = {}
        seen: set[str] = set()
        for item in (
            *objects(self.config.get("targets"), "targets"),
            *objects(self.config.get("contextTargets"), "contextTargets"),
        ):
            name, kind = self.variant(item.get("variation")), item.get("contextKind", "user")
            if kind != "user" and texts(item.get("values")):
                self.notes.add("flag", self.key, f"Targets of the context kind {kind!r} are left out.")
                self.lost_targets.update([name] if name else [])
            elif name is not None:
                fresh = [value for value in texts(item.get("values")) if value not in seen]
                seen.update(fresh)
                users.setdefault(name, []).extend(fresh)
        return [{"variant": name, "userIds": ids} for name, ids in users.items() if ids]

    def rules(self) -> list[dict[str, Any]]:
        found = []
        for number, rule in enumerate(objects(self.config.get("rules"), "rules"), 1):
            name = str(rule.get("description") or f"Rule {number}")[:200]
            allocation, variant = self.serve(rule, name)
            variants = frozenset([variant] if variant else [share[2] for share in allocation])
            try:
                conditions = [condition_of(clause) for clause in objects(rule.get("clauses"), "clauses")]
            except NotExpressibleError as error:
                self.notes.add("flag", self.key, f"{name} is left out: {error}.")
                self.given.append(_Given(variants, None))
                continue
            self.given.append(_Given(variants, conditions if variants else None))
            if not variants:
                self.notes.add("flag", self.key, f"{name} is left out: it serves nothing that is known here.")
                continue
            shown: dict[str, Any] = {"priority": number * 10, "name": name, "conditions": conditions}
            found.append({**shown, **({"variant": variant} if variant else {"allocation": allocation})})
        return found


def condition_of(clause: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a clause to a condition. Several values of one clause are alternatives."""
    operator, values = str(clause.get("op")), clause.get("values")
    values = values if isinstance(values, list) else []
    if clause.get("contextKind", "user") != "user":
        raise NotExpressibleError(f"a clause is on the context kind {clause['contextKind']!r}")
    is_negated = clause.get("negate") is True
    if operator == "segmentMatch":
        return {"operator": "not_in_segment" if is_negated else "in_segment", "value": texts(values)}
    attribute = "userId" if clause.get("attribute") == "key" else str(clause.get("attribute") or "").strip("/")
    if "/" in attribute or attribute == "kind":
        raise NotExpressibleError(f"a clause looks into the attribute {attribute!r}")
    if operator in {"before", "after"}:
        values = [_instant(value) for value in values]
    if operator == "in":
        return {"attribute": attribute, "operator": "not_in" if is_negated else "in", "value": values}
    if operator in _LISTED:
        positive: dict[str, Any] = {"attribute": attribute, "operator": _LISTED[operator], "value": texts(values)}
    elif operator in _SINGLE:
        each = [{"attribute": attribute, "operator": _SINGLE[operator], "value": value} for value in values]
        positive = each[0] if len(each) == 1 else {"any": each}
    else:
        raise NotExpressibleError(f"the operator {operator!r} has no counterpart")
    if not is_negated:
        return positive
    # A missing attribute matches no clause, in both products.
    return {"all": [{"attribute": attribute, "operator": "exists"}, {"not": positive}]}


def _instant(value: Any) -> Any:
    """An instant as text. LaunchDarkly also takes Unix milliseconds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return value
    try:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise NotExpressibleError(f"{value!r} is no instant") from error


def _rule_of_segment(rule: Mapping[str, Any]) -> dict[str, Any]:
    if rule.get("weight") is not None:
        raise NotExpressibleError("a segment here is no percentage")
    return {"all": [condition_of(clause) for clause in objects(rule.get("clauses"), "clauses")]}


def _segment(segment: Mapping[str, Any], notes: Notes, incomplete: Segments) -> dict[str, Any]:
    key = str(segment["key"])
    rules = []
    for number, rule in enumerate(objects(segment.get("rules"), "segments.rules"), 1):
        try:
            rules.append(_rule_of_segment(rule))
        except NotExpressibleError as error:
            notes.add("segment", key, f"Rule {number} is left out: {error}.")
            incomplete.fewer.add(key)
    if segment.get("unbounded"):
        notes.add("segment", key, "It is a big segment, whose members are not in the file; it comes without them.")
        incomplete.fewer.add(key)
    included, excluded = texts(segment.get("included")), texts(segment.get("excluded"))
    for name, users, wrong in (
        ("includedContexts", included, incomplete.fewer),
        ("excludedContexts", excluded, incomplete.more),
    ):
        for item in objects(segment.get(name), f"segments.{name}"):
            kind = item.get("contextKind", "user")
            if kind == "user":
                users.extend(texts(item.get("values")))
            elif texts(item.get("values")):
                notes.add("segment", key, f"Its {name} of the kind {kind!r} are left out.")
                wrong.add(key)
    return {
        "key": key,
        "name": segment.get("name") or key,
        "included": included,
        # LaunchDarkly includes a user that is in both lists. FlagShip excludes that user.
        "excluded": [user for user in excluded if user not in set(included)],
        "conditions": {"any": rules} if rules else None,
    }
