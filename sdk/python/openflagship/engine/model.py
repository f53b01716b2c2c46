"""The decoded configuration: flags, rules, condition trees and segments, validated, prepared and immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openflagship.engine.bucketing import AllocationRange

# A flag's `exposures`: only evaluations that a running experiment answers are logged. Whatever else it says, all are.
EXPOSURES_OF_EXPERIMENTS = "experiments"
UNKNOWN_OPERATOR = "unknown_operator"
MALFORMED_CONDITION = "malformed_condition"
UNKNOWN_SHAPE = "unknown_shape"
# A later version of the contract may have written these. A malformed value is a mistake in any version: false.
NOT_UNDERSTOOD_FAULTS = frozenset({UNKNOWN_OPERATOR, UNKNOWN_SHAPE})


@dataclass(frozen=True, slots=True)
class Condition:
    """One test. `prepared` is the value in its ready form. A condition with a `fault` is false for everybody."""

    attribute: str | None
    operator: str
    value: Any
    prepared: Any = field(default=None, compare=False, repr=False)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class All:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    node: Node


Node = Condition | All | AnyOf | Not


def conditions_of(node: Node) -> Iterator[Condition]:
    """Every condition of a tree, in document order."""
    if isinstance(node, Condition):
        yield node
    elif isinstance(node, Not):
        yield from conditions_of(node.node)
    else:
        for child in node.nodes:
            yield from conditions_of(child)


@dataclass(frozen=True, slots=True)
class Variant:
    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Prerequisite:
    flag_key: str
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    variant: str
    user_ids: tuple[str, ...]


# The attribute that is hashed, or at most three names: the first attribute that is there is the unit.
BucketBy = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleDefinition:
    """Its conditions are AND-ed, or a tree. It serves `variant`, or where that is None its `allocation`."""

    id: str
    priority: int
    name: str
    conditions: Node
    variant: str | None
    allocation: tuple[AllocationRange, ...]


@dataclass(frozen=True, slots=True)
class LayerReference:
    key: str | None
    salt: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """`id` is the key answers report; `ranges` are the half-open layer buckets that take part.

    With an `allocation` of its own, whoever takes no part goes on to the next step; None: the flag's allocation splits
    the participants. `priority` is its place among the rules; None: after all of them.
    """

    id: str
    status: str
    layer: LayerReference
    ranges: tuple[tuple[int, int], ...]
    control_variant: str
    audience: Node | None
    allocation: tuple[AllocationRange, ...] | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class FlagDefinition:
    """A flag as one environment sees it; rules by ascending priority, allocations by bucket."""

    key: str
    type: str
    variants: tuple[Variant, ...]
    enabled: bool
    default_variant: str
    off_variant: str
    kill_switch_variant: str | None
    bucket_by: BucketBy
    salt: str
    prerequisites: tuple[Prerequisite, ...]
    targets: tuple[Target, ...]
    rules: tuple[RuleDefinition, ...]
    experiment: Experiment | None
    allocation: tuple[AllocationRange, ...]
    metadata: Mapping[str, Any]
    version: int
    # Evaluations outside a running experiment are not logged as exposures.
    logs_experiments_alone: bool = False

    @property
    def is_static(self) -> bool:
        """Whether the flag, while it is on, always gives the default variant."""
        return not (self.targets or self.rules or self.experiment or self.allocation)

    def steps(self) -> tuple[RuleDefinition | Experiment, ...]:
        """The rules and the experiment in the order in which they are asked."""
        experiment = self.experiment
        if experiment is None:
            return self.rules
        priority = experiment.priority
        place = sum(1 for rule in self.rules if priority is None or rule.priority < priority)
        return (*self.rules[:place], experiment, *self.rules[place:])

    def trees(self) -> Iterator[Node]:
        """Every condition tree of the flag."""
        for rule in self.rules:
            yield rule.conditions
        if self.experiment is not None and self.experiment.audience is not None:
            yield self.experiment.audience


@dataclass(frozen=True, slots=True)
class SegmentDefinition:
    """An audience: `excluded` wins over `included`, which wins over `conditions`."""

    key: str
    included: frozenset[str]
    excluded: frozenset[str]
    conditions: Node | None


def segment_keys_of(node: Node | None) -> Iterator[str]:
    """The keys of every segment that a tree uses, with repeats."""
    if node is not None:
        for condition in conditions_of(node):
            if condition.attribute is None and condition.fault is None:
                yield from condition.prepared
