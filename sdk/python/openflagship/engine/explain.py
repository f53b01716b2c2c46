"""Walks an evaluation step by step and records what it saw. Tests compare it with the answer of the fast path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openflagship.engine.answer import (
    DEFAULT,
    DISABLED,
    EXPERIMENT,
    KILL_SWITCH,
    NO_UNIT,
    NOT_IN_EXPERIMENT,
    PREREQUISITE_FAILED,
    ROLLOUT,
    RULE_MATCH,
    TARGET_MATCH,
    Answer,
)
from openflagship.engine.bucketing import AllocationRange, bucket, number_of
from openflagship.engine.context import Context
from openflagship.engine.model import All, BucketBy, Condition, Experiment, FlagDefinition, Node, Not, RuleDefinition
from openflagship.engine.operators import BOOLEAN, LISTS, NOT_IN_SEGMENT, NUMBER, OPERATORS, TEXT, kind_of
from openflagship.engine.runtime import Evaluators, Segments, unit_of

_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of the order of evaluation. `facts` is JSON; `decides` marks the step the answer comes from."""

    name: str
    decides: bool
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer of the fast path and the steps to it, without the steps that were not reached."""

    flag_key: str
    unit: str | None
    answer: Answer
    steps: tuple[TraceStep, ...]

    def to_dict(self) -> dict[str, Any]:
        steps = [{"step": step.name, "decides": step.decides, **step.facts} for step in self.steps]
        return {"flagKey": self.flag_key, "unit": self.unit, "answer": self.answer.to_dict(), "steps": steps}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The result of the walk."""

    variant: str
    reason: str
    rule_id: str | None = None
    experiment: str | None = None
    detail: str | None = None


class Walk:
    """One evaluation of one flag, with a trace."""

    def __init__(self, evaluators: Evaluators, config: FlagDefinition, context: Context) -> None:
        self.evaluators = evaluators
        self.config = config
        self.context = context
        self.unit = unit_of(config.bucket_by, context)
        self.steps: list[TraceStep] = []
        self.tree = TreeWalk(evaluators.segments, context)

    def run(self) -> Conclusion:
        conclusion = self._conclude()
        last = self.steps[-1]
        self.steps[-1] = TraceStep(last.name, True, last.facts)
        return conclusion

    def _note(self, name: str, /, **facts: Any) -> None:
        self.steps.append(TraceStep(name, False, facts))

    def _conclude(self) -> Conclusion:
        config = self.config
        self._note("kill_switch", active=config.kill_switch_variant is not None)
        if config.kill_switch_variant is not None:
            return Conclusion(config.kill_switch_variant, KILL_SWITCH)
        self._note("enabled", enabled=config.enabled)
        if not config.enabled:
            return Conclusion(config.off_variant, DISABLED)
        names = _names(config.bucket_by)
        self._note("unit", bucketBy=names, attribute=self._unit_attribute(), unit=self.unit)
        if not all(self._is_met(number) for number in range(len(config.prerequisites))):
            return Conclusion(config.off_variant, PREREQUISITE_FAILED)
        target = self._target()
        if target is not None:
            return Conclusion(target, TARGET_MATCH)
        for step in config.steps():
            if isinstance(step, RuleDefinition):
                variant = self._rule(step)
                if variant is not None:
                    return Conclusion(variant, RULE_MATCH, step.id, detail=self.tree.fault)
            elif self.unit is not None:
                conclusion = self._experiment(step, self.unit)
                if conclusion is not None:
                    return conclusion
        if self.unit is None:
            self._note("default", variant=config.default_variant, because="There is no unit to put into a bucket.")
            return Conclusion(config.default_variant, DEFAULT, detail=NO_UNIT)
        if config.allocation:
            facts, variant = self._place(config.allocation, self.unit)
            self._note("rollout", **facts)
            if variant is not None:
                return Conclusion(variant, ROLLOUT, detail=self.tree.fault)
        self._note("default", variant=config.default_variant)
        return Conclusion(config.default_variant, DEFAULT, detail=self.tree.fault)

    def _unit_attribute(self) -> str | None:
        """The attribute that the unit came from; None without a unit."""
        by = self.config.bucket_by
        return next((name for name in ((by,) if isinstance(by, str) else by) if unit_of(name, self.context)), None)

    def _is_met(self, number: int) -> bool:
        prerequisite = self.config.prerequisites[number]
        key = prerequisite.flag_key
        code = self.evaluators.codes.get(key)
        facts: dict[str, Any] = {"flagKey": key, "wanted": list(prerequisite.variants), "met": False}
        if code is None:
            facts["because"] = "There is no such flag, or it cannot be read."
        elif self.config.key in self.evaluators.links.unmeetable:
            facts["because"] = "The prerequisites form a cycle, or a chain that is too long."
        elif not code.config.enabled:
            facts["because"] = "That flag is off."
        else:
            answer = self.evaluators[key](self.context)
            facts |= {
                "variant": answer.variant,
                "reason": answer.reason,
                "met": answer.variant in prerequisite.variants,
            }
        self._note("prerequisite", **facts)
        return bool(facts["met"])

    def _target(self) -> str | None:
        if not self.config.targets:
            return None
        user_id = self.context.user_id
        variant = next((target.variant for target in self.config.targets if user_id in target.user_ids), None)
        self._note("targets", userId=user_id, variant=variant)
        return variant

    def _rule(self, rule: RuleDefinition) -> str | None:
        is_match, shown = self.tree.node(rule.conditions)
        facts: dict[str, Any] = {"id": rule.id, "name": rule.name, "priority": rule.priority, "matched": is_match}
        # A plain list is shown as one, the way it is written.
        facts["conditions"] = shown["all"] if isinstance(rule.conditions, All) else shown
        variant = rule.variant if is_match else None
        if is_match and rule.variant is None:
            if self.unit is None:
                facts["because"] = "There is no unit to put into a bucket."
            else:
                placed, variant = self._place(rule.allocation, self.unit)
                facts |= placed
        self._note("rule", **facts)
        return variant

    def _experiment(self, experiment: Experiment, unit: str) -> Conclusion | None:
        """The experiment's conclusion; None where the unit goes on to the next step."""
        facts: dict[str, Any] = {"experiment": experiment.id, "status": experiment.status}
        is_in = True
        if experiment.audience is not None:
            is_in, facts["audience"] = self.tree.node(experiment.audience)
        number = bucket(experiment.layer.salt, unit)
        facts |= {
            "layer": experiment.layer.key,
            "layerBucket": number,
            "ranges": [list(item) for item in experiment.ranges],
        }
        is_in = is_in and any(start <= number < end for start, end in experiment.ranges)
        facts["participates"] = is_in
        if not is_in:
            self._note("experiment", **facts)
            if experiment.allocation is not None:
                return None
            self._note("default", variant=self.config.default_variant, because="The unit is not in the experiment.")
            return Conclusion(self.config.default_variant, DEFAULT, detail=NOT_IN_EXPERIMENT)
        split = experiment.allocation if experiment.allocation is not None else self.config.allocation
        placed, variant = self._place(split, unit)
        if variant is None:
            variant = experiment.control_variant
            placed |= {"variant": variant, "because": "No range covers the bucket, so the control variant serves it."}
        self._note("experiment", **facts, **placed)
        return Conclusion(variant, EXPERIMENT, experiment=experiment.id, detail=self.tree.fault)

    def _place(self, allocation: Sequence[AllocationRange], unit: str) -> tuple[dict[str, Any], str | None]:
        salt = self.evaluators.codes[self.config.key].prefix[:-1]
        number = bucket(salt, unit)
        found = next((item for item in allocation if item[0] <= number < item[1]), None)
        facts: dict[str, Any] = {"salt": salt, "bucket": number, "range": None, "variant": None}
        if found is not None:
            facts |= {"range": list(found[:2]), "variant": found[2]}
        return facts, facts["variant"]


class TreeWalk:
    """Conditions with what they saw. `fault` is the first that could not be read, outside of segments."""

    def __init__(self, segments: Segments, context: Context) -> None:
        self.segments = segments
        self.context = context
        self.fault: str | None = None
        # Segments shown already; a segment is shown in full once.
        self.memberships: dict[str, bool] = {}

    def nodes(self, nodes: Sequence[Node], inside: str | None = None) -> tuple[list[bool], list[dict[str, Any]]]:
        # Every condition is shown, also those that the evaluation did not need.
        results = [self.node(node, inside) for node in nodes]
        return [holds for holds, _ in results], [shown for _, shown in results]

    def node(self, node: Node, inside: str | None = None) -> tuple[bool, dict[str, Any]]:
        """Whether the tree holds, and its trace; `inside` is the segment whose tree it is."""
        if isinstance(node, Condition):
            return self._condition(node, inside)
        if isinstance(node, Not):
            holds, shown = self.node(node.node, inside)
            return not holds, {"not": shown, "matched": not holds}
        each, all_shown = self.nodes(node.nodes, inside)
        if isinstance(node, All):
            return all(each), {"all": all_shown, "matched": all(each)}
        return any(each), {"any": all_shown, "matched": any(each)}

    def _condition(self, condition: Condition, inside: str | None) -> tuple[bool, dict[str, Any]]:
        facts: dict[str, Any] = {"operator": condition.operator, "wanted": plain(condition.value)}
        if condition.attribute is not None:
            facts["attribute"] = condition.attribute
        if condition.fault is not None:
            if inside is None:
                self.fault = self.fault or condition.fault
            return False, facts | {"matched": False, "because": condition.fault}
        if condition.attribute is None:
            members = [self._segment(key, inside) for key in condition.prepared]
            facts["segments"] = [shown for _, shown in members]
            is_match = any(holds for holds, _ in members) is not (condition.operator == NOT_IN_SEGMENT)
            return is_match, facts | {"matched": is_match}
        is_user_id = condition.attribute == "userId"
        value = self.context.user_id if is_user_id else self.context.attributes.get(condition.attribute)
        operator = OPERATORS[condition.operator]
        is_match = operator.predicate(condition.prepared)(value)
        facts |= {"seen": plain(value), "matched": is_match}
        if not is_match and value is None:
            facts["because"] = "The attribute is absent."
        elif not is_match and operator.is_wrong_type(condition.prepared, value):
            facts["because"] = f"The attribute is {type_name(value)}; the operator takes {operator.wants}."
        return is_match, facts

    def _segment(self, key: str, inside: str | None) -> tuple[bool, dict[str, Any]]:
        code = self.segments.codes.get(key)
        facts: dict[str, Any] = {"segment": key, "matched": False}
        if code is None:
            return False, facts | {"because": "There is no such segment."}
        if inside is not None and self.segments.is_cut(inside, key):
            return False, facts | {"because": "The segments form a cycle."}
        if key in self.memberships:
            return self.memberships[key], facts | {"matched": self.memberships[key], "because": "Shown above."}
        config, user_id = code.config, self.context.user_id
        if user_id in config.excluded:
            facts["because"] = "The user is excluded."
        elif user_id in config.included:
            facts |= {"matched": True, "because": "The user is included."}
        elif config.conditions is not None:
            facts["matched"], facts["conditions"] = self.node(config.conditions, key)
        self.memberships[key] = facts["matched"]
        return facts["matched"], facts


def _names(bucket_by: BucketBy) -> Any:
    return bucket_by if isinstance(bucket_by, str) else list(bucket_by)


def plain(value: Any) -> Any:
    """A value as JSON; long text is shortened."""
    if isinstance(value, LISTS):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value[:_LONGEST_SHOWN].encode("utf-8", "replace").decode()
    number = number_of(value)
    if number is not None:
        return number if math.isfinite(number) else str(number)
    return value if value is None or isinstance(value, bool) else f"({type(value).__name__})"


def type_name(value: Any) -> str:
    """A value's type in the words of the contract."""
    if isinstance(value, LISTS):
        return "a list"
    names = {TEXT: "text", NUMBER: "a number", BOOLEAN: "a boolean"}
    return names.get(kind_of(value) or "", f"of the type {type(value).__name__}")


def explain(evaluators: Evaluators, config: FlagDefinition, context: Context, answer: Answer) -> Explanation:
    """How the flag's answer came about for this context."""
    walk = Walk(evaluators, config, context)
    walk.run()
    return Explanation(config.key, walk.unit, answer, tuple(walk.steps))
