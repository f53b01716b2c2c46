"""Reads flags from JSON documents, with every check on a single flag, its path and its remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from openflagship.engine.bucketing import BUCKETS, AllocationRange, is_well_formed
from openflagship.engine.decode_tree import KEY_PATTERN, KEY_REMEDY, read_rule_conditions, read_tree, read_user_ids
from openflagship.engine.frozen import frozen
from openflagship.engine.model import (
    EXPOSURES_OF_EXPERIMENTS,
    BucketBy,
    Experiment,
    FlagDefinition,
    LayerReference,
    Prerequisite,
    RuleDefinition,
    Target,
    Variant,
)
from openflagship.engine.problems import Path, Problems

RESERVED_KEYS: Final = frozenset({"evaluate"})
FLAG_TYPES: Final = ("boolean", "string", "number", "json")
SERVED_STATUSES: Final = ("running", "paused")
MAX_JSON_BYTES: Final = 64 * 1024
MOST_UNIT_NAMES: Final = 3


def read_flag(document: Any, problems: Problems) -> FlagDefinition | None:
    """A flag; None where a fatal problem leaves nothing to evaluate."""
    if not isinstance(document, dict):
        problems.add((), "wrong_type", "Give a flag, as an object.", fatal=True)
        return None
    return _FlagReader(document, problems).read()


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class _FlagReader:
    """The reader of one document. Each method reads one field and names what is wrong with it."""

    def __init__(self, document: dict[str, Any], problems: Problems) -> None:
        self.document = document
        self.problems = problems
        self.variants: tuple[Variant, ...] = ()
        self.variant_keys: frozenset[str] | None = None

    def read(self) -> FlagDefinition | None:
        key = self._key()
        kind = self._type()
        self.variants = self._variants(kind)
        # Where the variants cannot be read, none can be called unknown; the other checks still apply.
        if not self.problems.is_fatal:
            self.variant_keys = frozenset(variant.key for variant in self.variants)
        first = self.variants[0].key if self.variants else ""
        kill_switch = self.document.get("killSwitchVariant")
        config = FlagDefinition(
            key=key,
            type=kind,
            variants=self.variants,
            enabled=self._enabled(),
            default_variant=self._variant(self.document.get("defaultVariant", first), ("defaultVariant",)),
            off_variant=self._variant(self.document.get("offVariant", first), ("offVariant",)),
            kill_switch_variant=None if kill_switch is None else self._variant(kill_switch, ("killSwitchVariant",)),
            bucket_by=self._bucket_by(),
            salt=self._text("salt", key, "Give the text that is hashed before the unit."),
            prerequisites=self._listed("prerequisites", self._prerequisite),
            targets=self._targets(),
            rules=self._rules(),
            experiment=self._experiment(),
            allocation=self._allocation(self.document.get("allocation", []), ("allocation",)),
            metadata=self._metadata(),
            version=self._version(),
            logs_experiments_alone=self.document.get("exposures") == EXPOSURES_OF_EXPERIMENTS,
        )
        return None if self.problems.is_fatal else config

    def _key(self) -> str:
        key = self.document.get("key")
        if not isinstance(key, str):
            self.problems.add(("key",), "required", f"Give the flag's key. {KEY_REMEDY}", fatal=True)
            return ""
        if not KEY_PATTERN.fullmatch(key):
            self.problems.add(("key",), "invalid_key", KEY_REMEDY)
        elif key in RESERVED_KEYS:
            self.problems.add(("key",), "reserved_key", f"{key!r} is the name of a route; choose another key.")
        return key

    def _type(self) -> str:
        kind = self.document.get("type")
        if not isinstance(kind, str) or kind not in FLAG_TYPES:
            remedy = f"Give one of {', '.join(FLAG_TYPES)}."
            self.problems.add(("type",), "required" if kind is None else "invalid_choice", remedy, fatal=True)
            return ""
        return kind

    def _variants(self, kind: str) -> tuple[Variant, ...]:
        if not isinstance(self.document.get("variants"), list):
            self.problems.add(
                ("variants",), "required", "Give a list of variants, each with key and value.", fatal=True
            )
            return ()
        listed = self._listed("variants", lambda item, path: self._one_variant(item, path, kind))
        keys = [variant.key for variant in listed]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                remedy = f"{key!r} is taken; give every variant a key of its own."
                self.problems.add(("variants", number, "key"), "duplicate", remedy, fatal=True)
        if kind == "boolean" and len(listed) != 2:
            self.problems.add(("variants",), "wrong_count", "Give exactly two variants.", fatal=not listed)
        elif len(listed) < 2:
            self.problems.add(("variants",), "wrong_count", "Give at least two variants.", fatal=not listed)
        elif kind == "boolean" and listed[0].value == listed[1].value:
            self.problems.add(("variants",), "duplicate", "Give one variant true and the other false.")
        return listed

    def _one_variant(self, item: Any, path: Path, kind: str) -> Variant | None:
        if not isinstance(item, dict):
            self.problems.add(path, "wrong_type", "Give a variant, as an object with key and value.", fatal=True)
            return None
        key = item.get("key")
        if not isinstance(key, str) or not key:
            self.problems.add((*path, "key"), "required", f"Give the variant's key. {KEY_REMEDY}", fatal=True)
            return None
        if not KEY_PATTERN.fullmatch(key):
            self.problems.add((*path, "key"), "invalid_key", KEY_REMEDY)
        if "value" not in item:
            self.problems.add((*path, "value"), "required", "Give the variant a value of the flag's type.", fatal=True)
            return None
        return Variant(key, self._value(item["value"], (*path, "value"), kind))

    def _value(self, value: Any, path: Path, kind: str) -> Any:
        if kind == "json":
            return self._frozen_json(value, path)
        if (
            (kind == "boolean" and not isinstance(value, bool))
            or (kind == "string" and not (isinstance(value, str) and is_well_formed(value)))
            or (kind == "number" and not _is_finite_number(value))
        ):
            self.problems.add(path, "wrong_type", f"Give a {kind} value, as the flag's type says.", fatal=True)
        return value

    def _frozen_json(self, value: Any, path: Path) -> Any:
        try:
            size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())
            value = frozen(value)
        except (TypeError, ValueError, RecursionError):
            self.problems.add(path, "wrong_type", "Give a value that can be written as JSON.", fatal=True)
        else:
            if size > MAX_JSON_BYTES:
                self.problems.add(path, "too_large", f"Keep the value within {MAX_JSON_BYTES} bytes; it has {size}.")
        return value

    def _enabled(self) -> bool:
        enabled = self.document.get("enabled", False)
        if not isinstance(enabled, bool):
            self.problems.add(("enabled",), "wrong_type", "Give true or false.", fatal=True)
        return enabled is True

    def _text(self, name: str, default: str, remedy: str) -> str:
        if name not in self.document:
            return default
        value = self.document[name]
        if isinstance(value, str) and value and is_well_formed(value):
            return value
        self.problems.add((name,), "wrong_type", remedy, fatal=True)
        return default

    def _bucket_by(self) -> BucketBy:
        names = self.document.get("bucketBy")
        if not isinstance(names, list):
            return self._text("bucketBy", "userId", "Name the attribute that is hashed, such as userId.")
        is_listed = 1 <= len(names) <= MOST_UNIT_NAMES and all(
            isinstance(name, str) and name and is_well_formed(name) for name in names
        )
        if not is_listed or len(set(names)) < len(names):
            remedy = f"List 1 to {MOST_UNIT_NAMES} different attributes; the first that is there is hashed."
            self.problems.add(("bucketBy",), "wrong_type", remedy, fatal=True)
            return "userId"
        return tuple(names) if len(names) > 1 else str(names[0])

    def _version(self) -> int:
        version = self.document.get("version", 0)
        if not _is_integer(version):
            self.problems.add(("version",), "wrong_type", "Give a whole number.")
            return 0
        return int(version)

    def _metadata(self) -> dict[str, Any]:
        metadata = self.document.get("metadata", {})
        if not isinstance(metadata, dict):
            self.problems.add(("metadata",), "wrong_type", "Give an object of strings, numbers and booleans.")
            return {}
        for name, value in metadata.items():
            if not isinstance(value, (str, bool)) and not _is_finite_number(value):
                self.problems.add(("metadata", str(name)), "wrong_type", "Give a string, number or boolean.")
        return metadata

    def _variant(self, key: Any, path: Path) -> str:
        if isinstance(key, str) and (self.variant_keys is None or key in self.variant_keys):
            return key
        remedy = f"Give one of the variants {', '.join(variant.key for variant in self.variants)}."
        self.problems.add(path, "unknown_variant", remedy, fatal=True)
        return ""

    def _listed(self, name: str, read: Callable[[Any, Path], Any]) -> tuple[Any, ...]:
        document = self.document.get(name, [])
        if not isinstance(document, list):
            self.problems.add((name,), "wrong_type", "Give a list.", fatal=True)
            return ()
        items = (read(item, (name, number)) for number, item in enumerate(document))
        return tuple(item for item in items if item is not None)

    def _prerequisite(self, item: Any, path: Path) -> Prerequisite | None:
        if not isinstance(item, dict):
            self.problems.add(path, "wrong_type", "Give a prerequisite, with flagKey and variants.", fatal=True)
            return None
        key, variants = item.get("flagKey"), item.get("variants")
        if not isinstance(key, str) or not key:
            self.problems.add((*path, "flagKey"), "required", "Name the other flag by its key.", fatal=True)
            return None
        if key == self.document.get("key"):
            remedy = "A flag cannot be its own prerequisite; name another flag."
            self.problems.add((*path, "flagKey"), "prerequisite_cycle", remedy)
        if not isinstance(variants, list) or not all(isinstance(variant, str) for variant in variants):
            remedy = "List the keys of the variants that meet the prerequisite."
            self.problems.add((*path, "variants"), "wrong_type", remedy, fatal=True)
            return None
        if not variants:
            self.problems.add((*path, "variants"), "required", "List at least one variant: without, it is never met.")
        return Prerequisite(key, tuple(variants))

    def _targets(self) -> tuple[Target, ...]:
        taken: dict[str, str] = {}

        def read(item: Any, path: Path) -> Target | None:
            if not isinstance(item, dict):
                self.problems.add(path, "wrong_type", "Give a target, with variant and userIds.", fatal=True)
                return None
            variant = self._variant(item.get("variant"), (*path, "variant"))
            user_ids = read_user_ids(item.get("userIds", []), (*path, "userIds"), self.problems)
            for number, user_id in enumerate(user_ids):
                if taken.setdefault(user_id, variant) != variant:
                    remedy = (
                        f"{user_id!r} is targeted for {taken[user_id]!r} already; list a user for one variant only."
                    )
                    self.problems.add((*path, "userIds", number), "duplicate", remedy)
            return Target(variant, user_ids)

        return self._listed("targets", read)

    def _rules(self) -> tuple[RuleDefinition, ...]:
        ids: set[str] = set()
        priorities: set[int] = set()

        def read(item: Any, path: Path) -> RuleDefinition | None:
            rule = self._rule(item, path)
            if rule is not None:
                if rule.id in ids:
                    self.problems.add((*path, "id"), "duplicate", "Give every rule an id of its own.")
                if rule.priority in priorities:
                    remedy = f"Priority {rule.priority} is taken; give every rule one of its own."
                    self.problems.add((*path, "priority"), "duplicate", remedy)
                ids.add(rule.id)
                priorities.add(rule.priority)
            return rule

        return tuple(sorted(self._listed("rules", read), key=lambda rule: rule.priority))

    def _rule(self, item: Any, path: Path) -> RuleDefinition | None:
        if not isinstance(item, dict):
            self.problems.add(path, "wrong_type", "Give a rule, as an object.", fatal=True)
            return None
        rule_id, priority, name = item.get("id"), item.get("priority"), item.get("name", "")
        if not isinstance(rule_id, str) or not rule_id:
            self.problems.add((*path, "id"), "required", "Give the rule an id, as a string.", fatal=True)
        if not isinstance(priority, int) or isinstance(priority, bool):
            self.problems.add(
                (*path, "priority"), "required", "Give a whole number; the lowest comes first.", fatal=True
            )
            priority = 0
        if not isinstance(name, str):
            self.problems.add((*path, "name"), "wrong_type", "Give the name as a string.")
        conditions = read_rule_conditions(item.get("conditions", []), (*path, "conditions"), self.problems)
        variant, ranges = item.get("variant"), item.get("allocation")
        if (variant is None) == (ranges is None):
            self.problems.add(path, "ambiguous", "Give the rule either a variant or an allocation.", fatal=True)
            return None
        chosen = None if variant is None else self._variant(variant, (*path, "variant"))
        allocation = () if ranges is None else self._allocation(ranges, (*path, "allocation"))
        if self.problems.is_fatal:
            return None
        return RuleDefinition(str(rule_id), priority, str(name), conditions, chosen, allocation)

    def _allocation(self, document: Any, path: Path) -> tuple[AllocationRange, ...]:
        if not isinstance(document, list):
            self.problems.add(path, "wrong_type", "Give a list of [start, end, variant] ranges.", fatal=True)
            return ()
        ranges: list[AllocationRange] = []
        for number, item in enumerate(document):
            here = (*path, number)
            if not isinstance(item, (list, tuple)) or len(item) != 3:
                self.problems.add(here, "wrong_type", "Give [start, end, variant].", fatal=True)
            elif self._is_range(item[0], item[1], here):
                ranges.append((item[0], item[1], self._variant(item[2], (*here, 2))))
        ranges.sort(key=lambda item: item[0])
        self._check_overlap([(start, end) for start, end, _ in ranges], path)
        return tuple(ranges)

    def _is_range(self, start: Any, end: Any, path: Path) -> bool:
        if _is_integer(start) and _is_integer(end) and 0 <= start < end <= BUCKETS:
            return True
        remedy = f"Give whole numbers with 0 <= start < end <= {BUCKETS}."
        self.problems.add(path, "out_of_range", remedy, fatal=True)
        return False

    def _check_overlap(self, ranges: list[tuple[int, int]], path: Path) -> None:
        for (_, end), (start, _) in pairwise(ranges):
            if start < end:
                remedy = f"Buckets {start} to {end} are given twice; let the ranges not overlap."
                self.problems.add(path, "overlap", remedy, fatal=True)

    def _experiment(self) -> Experiment | None:
        document, path = self.document.get("experiment"), ("experiment",)
        if document is None:
            return None
        if not isinstance(document, dict):
            self.problems.add(path, "wrong_type", "Give the experiment, as an object, or null.", fatal=True)
            return None
        key, status, audience = document.get("id"), document.get("status"), document.get("audience")
        if not isinstance(key, str) or not key:
            self.problems.add((*path, "id"), "required", "Give the experiment's key.", fatal=True)
        is_served = status in SERVED_STATUSES
        if not is_served:
            remedy = "Give running or paused; leave out an experiment that does not serve."
            self.problems.add((*path, "status"), "invalid_choice", remedy)
        layer = self._layer(document.get("layer"), (*path, "layer"))
        ranges = self._layer_ranges(document.get("ranges"), (*path, "ranges"))
        control = self._variant(document.get("controlVariant"), (*path, "controlVariant"))
        tree = None if audience is None else read_tree(audience, (*path, "audience"), self.problems)
        own = document.get("allocation")
        allocation = None if own is None else self._allocation(own, (*path, "allocation"))
        priority = self._experiment_priority(document.get("priority"), (*path, "priority"))
        if isinstance(self.document.get("bucketBy"), list) and len(self.document["bucketBy"]) > 1:
            remedy = "An experiment counts one kind of unit; name a single attribute in bucketBy."
            self.problems.add(("bucketBy",), "one_unit_for_experiments", remedy)
        if not is_served or self.problems.is_fatal:
            return None
        return Experiment(str(key), str(status), layer, ranges, control, tree, allocation, priority)

    def _experiment_priority(self, priority: Any, path: Path) -> int | None:
        if priority is None:
            return None
        if not _is_integer(priority):
            self.problems.add(path, "wrong_type", "Give a whole number, or leave it out.", fatal=True)
            return None
        taken = rules if isinstance(rules := self.document.get("rules"), list) else []
        if any(isinstance(rule, dict) and rule.get("priority") == priority for rule in taken):
            remedy = f"Priority {priority} is a rule's; give the experiment one of its own."
            self.problems.add(path, "duplicate", remedy)
        return int(priority)

    def _layer(self, document: Any, path: Path) -> LayerReference:
        salt, key = (document.get("salt"), document.get("key")) if isinstance(document, dict) else (None, None)
        if not isinstance(salt, str) or not salt or not is_well_formed(salt):
            self.problems.add((*path, "salt"), "required", "Give the layer's salt, as text.", fatal=True)
            return LayerReference(None, "")
        if salt == self.document.get("salt", self.document.get("key")):
            remedy = "Give the layer a salt that is not the flag's: one hash for both gives all users one variant."
            self.problems.add((*path, "salt"), "shared_salt", remedy)
        if key is not None and not isinstance(key, str):
            self.problems.add((*path, "key"), "wrong_type", "Give the layer's key, or null.")
            key = None
        return LayerReference(key, salt)

    def _layer_ranges(self, document: Any, path: Path) -> tuple[tuple[int, int], ...]:
        if not isinstance(document, list):
            self.problems.add(path, "wrong_type", "Give a list of [start, end] ranges of layer buckets.", fatal=True)
            return ()
        ranges = []
        for number, item in enumerate(document):
            here = (*path, number)
            if not isinstance(item, (list, tuple)) or len(item) != 2:
                self.problems.add(here, "wrong_type", "Give [start, end].", fatal=True)
            elif self._is_range(item[0], item[1], here):
                ranges.append((item[0], item[1]))
        ranges.sort()
        self._check_overlap(ranges, path)
        return tuple(ranges)


def _is_finite_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))
