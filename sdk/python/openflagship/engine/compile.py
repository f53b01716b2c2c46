"""Turns decoded flags and segments into functions that follow the order of evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

import mmh3

from openflagship.engine.answer import (
    DEFAULT,
    DISABLED,
    EXPERIMENT,
    KILL_SWITCH,
    NO_UNIT,
    NOT_IN_EXPERIMENT,
    OPENFEATURE_REASONS,
    PREREQUISITE_FAILED,
    ROLLOUT,
    RULE_MATCH,
    TARGET_MATCH,
    Decision,
)
from openflagship.engine.bucketing import BUCKETS, AllocationRange
from openflagship.engine.codegen import Generated, Writer
from openflagship.engine.model import Experiment, FlagDefinition, Node, RuleDefinition, SegmentDefinition, conditions_of

Memo = dict[Any, Any]
_MOST_BRANCHES: Final = 6


def recall(function: Any, context: Any, memo: Memo) -> Any:
    """The function's result for this context, computed once per memo."""
    try:
        return memo[function]
    except KeyError:
        result = memo[function] = function(context, memo)
        return result


def shared_hash(memo: Memo, text: str) -> int:
    """The hash of a text, computed once per memo."""
    try:
        return memo[text]  # type: ignore[no-any-return] # texts map to hashes
    except KeyError:
        result = memo[text] = mmh3.hash(text, 0, False)
        return result


# Names that every generated flag function may use. Prerequisites R0.. and answers A0.. follow the constants.
_FLAG_NAMES: Final = ("h", "bisect", "recall", "shared", "odd", "A")
TOOLS: Final = (mmh3.hash, bisect_right, recall, shared_hash)


class FlagCode:
    """A flag's functions. Each is generated at its first use and serves every later version of the environment."""

    __slots__ = ("_careful", "_fast", "config", "is_held", "prefix")

    def __init__(self, config: FlagDefinition, environment_salt: str, *, is_held: bool = False) -> None:
        """`is_held`: the config is the last that was understood, and a later one is not."""
        self.config = config
        self.is_held = is_held
        self.prefix = f"{environment_salt}:{config.salt}:" if environment_salt else f"{config.salt}:"
        self._fast: tuple[Generated, tuple[Decision, ...]] | None = None
        self._careful: Generated | None = None

    def fast(self) -> tuple[Generated, tuple[Decision, ...]]:
        """For attributes of the usual types and contexts with a unit, `f(context, memo=None)`, and its decisions."""
        if self._fast is None:
            self._fast = _FlagWriter(self.config, self.prefix, fast=True).write()
        return self._fast

    def careful(self) -> Generated:
        """The same steps for attributes of any type, and for no unit: `f(context, unit, answers, memo)`."""
        if self._careful is None:
            self._careful = _FlagWriter(self.config, self.prefix, fast=False).write()[0]
        return self._careful

    @property
    def salts(self) -> tuple[str, ...]:
        """The text before the unit, for each hash that the flag may need."""
        experiment = self.config.experiment
        return (self.prefix,) if experiment is None else (self.prefix, f"{experiment.layer.salt}:")


class _FlagWriter:
    def __init__(self, config: FlagDefinition, prefix: str, *, fast: bool) -> None:
        self.config = config
        self.prefix = prefix
        self.fast = fast
        self.decisions: list[Decision] = []
        self.values = {variant.key: variant.value for variant in config.variants}
        self.fault: str | None = None
        self.has_bucket = False
        names = (*_FLAG_NAMES, *(f"R{number}" for number in range(len(config.prerequisites))))
        self.writer = Writer(fast=fast, names=names, user_id="u" if fast and config.bucket_by == "userId" else None)
        self.line = self.writer.line
        self.constant = self.writer.constant

    def write(self) -> tuple[Generated, tuple[Decision, ...]]:
        if self.fast:
            self._unit()
        self._steps()
        if self.fast:
            # Answers are bound like constants, once the version is known.
            self.writer.names += tuple(f"A{number}" for number in range(len(self.decisions)))
        return self.writer.finish("c, m=None" if self.fast else "c, u, A, m"), tuple(self.decisions)

    def _unit(self) -> None:
        names = self.config.bucket_by
        if names == "userId":
            self.line(0, "u = c.user_id")
            self.line(0, "if not u: return odd(c, m)")
            return
        for number, name in enumerate((names,) if isinstance(names, str) else names):
            indent = 1 if number else 0
            if number:
                # Absent or empty: the next name. What else is no plain text is for `odd` to read.
                self.line(0, 'if u is None or u == "":')
            self.line(indent, "u = c.user_id" if name == "userId" else f"u = c.attributes.get({self.constant(name)})")
        self.line(0, "if u.__class__ is not str or not u or not u.isascii(): return odd(c, m)")

    def _steps(self) -> None:
        config = self.config
        if config.kill_switch_variant is not None:
            self._return(0, self._decide(config.kill_switch_variant, KILL_SWITCH))
            return
        if not config.enabled:
            self._return(0, self._decide(config.off_variant, DISABLED))
            return
        self.writer.survey(config.trees())
        self._prerequisites()
        self._targets()
        # Both functions number their decisions alike, so each writes every step, reachable or not.
        for step in config.steps():
            if isinstance(step, Experiment):
                self._experiment(step)
            elif self._rule(step):
                return
        self._split()

    def _rule(self, rule: RuleDefinition) -> bool:
        """Writes a rule; whether it decides for everybody, so that nothing can follow."""
        self._note_faults(rule.conditions)
        test = self.writer.test(rule.conditions)
        if test == "False":
            return False
        if rule.variant is not None:
            decision = self._decide(rule.variant, RULE_MATCH, rule_id=rule.id)
            if test == "True":
                self._return(0, decision)
                return True
            self.line(0, f"if {test}:")
            self._return(1, decision)
        elif rule.allocation:
            self._allocated_rule(test, rule.allocation, rule.id)
        return False

    def _prerequisites(self) -> None:
        if not self.config.prerequisites:
            return
        failed = self._decide(self.config.off_variant, PREREQUISITE_FAILED)
        self.line(0, "if m is None: m = {}")
        for number, prerequisite in enumerate(self.config.prerequisites):
            wanted = self.constant(frozenset(prerequisite.variants))
            self.line(0, f"if recall(R{number}, c, m).variant not in {wanted}:")
            self._return(1, failed)

    def _targets(self) -> None:
        decisions: dict[str, int] = {}
        for target in self.config.targets:
            decision = self._decide(target.variant, TARGET_MATCH)
            for user_id in target.user_ids:
                decisions.setdefault(user_id, decision)
        if decisions:
            user_id = self.writer.user_id or "c.user_id"
            self.line(0, f"i = {self.constant(decisions)}.get({user_id})")
            self.line(0, "if i is not None: return A[i]")

    def _allocated_rule(self, test: str, allocation: Sequence[AllocationRange], rule_id: str) -> None:
        tests = [part for part in ("" if self.fast else "u is not None", "" if test == "True" else test) if part]
        indent = 0
        if tests:
            self.line(0, f"if {' and '.join(tests)}:")
            indent = 1
        self._serve(indent, allocation, RULE_MATCH, rule_id=rule_id)

    def _split(self) -> None:
        """Steps 9 and 10: the rollout, and what remains."""
        config = self.config
        default = "DEFAULT" if not config.is_static else "STATIC"
        serves_units = config.experiment is None or config.experiment.allocation is not None
        if serves_units:
            indent = 0
            if not self.fast and config.allocation:
                self.line(0, "if u is not None:")
                indent = 1
            is_covered = self._serve(indent, config.allocation, ROLLOUT)
            served = self._decide(config.default_variant, DEFAULT, openfeature_reason=default)
            if not is_covered and (indent or self.fast):
                self._return(indent, served)
            elif not indent and not self.fast:
                self.line(0, "if u is not None:")
                self._return(1, served)
        without_unit = self._decide(config.default_variant, DEFAULT, detail=NO_UNIT, openfeature_reason=default)
        if not self.fast:
            self._return(0, without_unit)

    def _experiment(self, experiment: Experiment) -> None:
        """Writes step 8 at the experiment's place."""
        if experiment.audience is not None:
            self._note_faults(experiment.audience)
        # Its attributes are loaded ahead of the branch: later rules may ask for them as well.
        test = "True" if experiment.audience is None else self.writer.test(experiment.audience)
        indent = 0
        if not self.fast:
            self.line(0, "if u is not None:")
            self.line(1, "pass")
            indent = 1
        self._participants(experiment, test, indent)
        if experiment.allocation is None:
            self._return(indent, self._decide(self.config.default_variant, DEFAULT, detail=NOT_IN_EXPERIMENT))

    def _participants(self, experiment: Experiment, test: str, indent: int) -> None:
        """Writes what whoever takes part gets."""
        if not experiment.ranges or test == "False":
            return
        tests = [] if test == "True" else [test]
        if _merged(experiment.ranges) != [(0, BUCKETS)]:
            hashed = self._hash(f"{experiment.layer.salt}:")
            if tests:
                self.line(indent, f"l = {hashed} if {tests[0]} else -1")
                tests = []
            else:
                self.line(indent, f"l = {hashed}")
            spans = [f"{self.constant(start)} <= l < {self.constant(end)}" for start, end in _merged(experiment.ranges)]
            tests.append(" or ".join(spans))
        inner = indent
        if tests:
            self.line(indent, f"if {tests[0]}:")
            inner = indent + 1
        allocation = self.config.allocation if experiment.allocation is None else experiment.allocation
        if not self._serve(inner, allocation, EXPERIMENT, experiment=experiment.id):
            control = self._decide(experiment.control_variant, EXPERIMENT, experiment=experiment.id)
            self._return(inner, control)

    def _serve(self, indent: int, allocation: Sequence[AllocationRange], reason: str, **named: str) -> bool:
        """Add an allocation's ranges. Returns whether they cover every bucket, so that no code can follow."""
        pieces = [
            (start, end, self._decide(variant, reason, is_split=True, **named))
            for start, end, variant in _merged_allocation(allocation)
        ]
        if not pieces:
            return False
        if pieces[0][:2] == (0, BUCKETS):
            self._return(indent, pieces[0][2])
            return True
        self._bucket(indent)
        if len(pieces) > _MOST_BRANCHES:
            return self._look_up(indent, pieces)
        covered = 0
        for start, end, decision in pieces:
            is_last = covered == start and end == BUCKETS
            if not is_last:
                low = "" if covered == start else f"{self.constant(start)} <= "
                self.line(indent, f"if {low}b < {self.constant(end)}:")
            self._return(indent + (not is_last), decision)
            covered = end if covered == start else -1
        return covered == BUCKETS

    def _look_up(self, indent: int, pieces: Sequence[tuple[int, int, int]]) -> bool:
        ends: list[int] = []
        decisions: list[int | None] = []
        covered = 0
        for start, end, decision in pieces:
            if start > covered:
                ends.append(start)
                decisions.append(None)
            ends.append(end)
            decisions.append(decision)
            covered = end
        decisions.append(None)
        table = self.constant(tuple(decisions))
        self.line(indent, f"i = {table}[bisect({self.constant(tuple(ends))}, b)]")
        self.line(indent, "if i is not None: return A[i]")
        return False

    def _bucket(self, indent: int) -> None:
        if self._bucket_uses() == 1:
            self.line(indent, f"b = {self._hash(self.prefix)}")
            return
        if not self.has_bucket:
            self.has_bucket = True
            # Before every branch, so that each branch can tell whether another one has hashed already.
            self.writer.lines.insert(0, "  b = -1")
        self.line(indent, f"if b < 0: b = {self._hash(self.prefix)}")

    def _bucket_uses(self) -> int:
        experiment = self.config.experiment
        owns_split = experiment is not None and experiment.allocation is not None
        return sum(rule.variant is None for rule in self.config.rules) + 1 + owns_split

    def _hash(self, prefix: str) -> str:
        text = f"{self.constant(prefix)} + u"
        return f"(h({text}, 0, False) if m is None else shared(m, {text})) % {BUCKETS}"

    def _note_faults(self, tree: Node) -> None:
        for condition in conditions_of(tree):
            self.fault = self.fault or condition.fault

    def _decide(
        self,
        variant: str,
        reason: str,
        *,
        is_split: bool = False,
        openfeature_reason: str | None = None,
        rule_id: str | None = None,
        experiment: str | None = None,
        detail: str | None = None,
    ) -> int:
        openfeature_reason = openfeature_reason or ("SPLIT" if is_split else OPENFEATURE_REASONS[reason])
        # An unreadable condition is false for everybody and may change every later outcome; the answer says so.
        detail = detail or self.fault
        decision = Decision(variant, self.values[variant], reason, openfeature_reason, rule_id, experiment, detail)
        self.decisions.append(decision)
        return len(self.decisions) - 1

    def _return(self, indent: int, decision: int) -> None:
        self.line(indent, f"return A{decision}" if self.fast else f"return A[{decision}]")


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(start, end) for start, end, _ in _merged_allocation((start, end, "") for start, end in ranges)]


def _merged_allocation(allocation: Iterable[AllocationRange]) -> list[AllocationRange]:
    merged: list[AllocationRange] = []
    for start, end, variant in allocation:
        if merged and merged[-1][1] == start and merged[-1][2] == variant:
            merged[-1] = (merged[-1][0], end, variant)
        else:
            merged.append((start, end, variant))
    return merged


class SegmentCode:
    """A segment's membership functions, `f(context, memo)`, generated like a flag's."""

    __slots__ = ("_careful", "_fast", "config")

    def __init__(self, config: SegmentDefinition) -> None:
        self.config = config
        self._fast: Generated | None = None
        self._careful: Generated | None = None

    def fast(self) -> Generated:
        if self._fast is None:
            self._fast = _write_segment(self.config, fast=True)
        return self._fast

    def careful(self) -> Generated:
        if self._careful is None:
            self._careful = _write_segment(self.config, fast=False)
        return self._careful


_SEGMENT_NAMES: Final = ("recall", "odd")


def _write_segment(config: SegmentDefinition, *, fast: bool) -> Generated:
    writer = Writer(fast=fast, names=_SEGMENT_NAMES, is_nested=True)
    if config.excluded:
        writer.line(0, f"if c.user_id in {writer.constant(config.excluded)}: return False")
    if config.included:
        writer.line(0, f"if c.user_id in {writer.constant(config.included)}: return True")
    test = "False"
    if config.conditions is not None:
        writer.survey([config.conditions])
        test = writer.test(config.conditions)
    if writer.segments:
        writer.line(0, "if m is None: m = {}")
    writer.line(0, f"return {test}")
    return writer.finish("c, m")
