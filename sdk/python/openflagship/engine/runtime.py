"""Binds compiled code to one configuration version, each flag at its first use, and runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from openflagship.engine.answer import NOT_UNDERSTOOD, Answer
from openflagship.engine.compile import TOOLS, FlagCode, Memo, SegmentCode, recall
from openflagship.engine.context import Context
from openflagship.engine.links import cyclic_groups, reaching, segment_graph, unmeetable
from openflagship.engine.model import BucketBy, FlagDefinition, Node, conditions_of


class Evaluator(Protocol):
    def __call__(self, context: Context, memo: Memo | None = None, /) -> Answer: ...


class SegmentMembership(Protocol):
    def __call__(self, context: Context, memo: Memo | None, /) -> bool: ...


class NotUnderstoodError(Exception):
    """A flag cannot be evaluated, because a segment it asks for cannot be understood."""


def unit_of(bucket_by: BucketBy, context: Context) -> str | None:
    """The unit a flag hashes for this context, None where there is none."""
    if bucket_by == "userId":
        return context.user_id or None
    if isinstance(bucket_by, str):
        return context.unit_at(bucket_by)
    return next((unit for name in bucket_by if (unit := unit_of(name, context))), None)


def _read_by(trees: Iterable[Node], units: Iterable[str] = ()) -> tuple[str, ...]:
    """The attributes that conditions and units read, each once."""
    asked = {condition.attribute for tree in trees for condition in conditions_of(tree)}
    return tuple(sorted({name for name in asked if name is not None}.union(units) - {"userId"}))


def _read_by_flag(config: FlagDefinition) -> tuple[str, ...]:
    by = config.bucket_by
    return _read_by(config.trees(), (by,) if isinstance(by, str) else by)


def _nobody(_context: Context, _memo: Memo | None) -> bool:
    return False


class _Unmet:
    """The answer in place of a flag that can meet no prerequisite."""

    variant = None


_UNMET = _Unmet()


def _unmet(_context: Context, _memo: Memo | None) -> Any:
    return _UNMET


class Segments(dict[str, SegmentMembership]):
    """SegmentMembership functions by segment key, bound at first use. Unknown segments have no members.

    Two threads may bind the same segment at once; both results are alike, so nothing is locked.
    """

    def __init__(self, codes: Mapping[str, SegmentCode], held: Iterable[str] = (), broken: Iterable[str] = ()) -> None:
        """`held` serve their last version that was understood; `broken` have none."""
        super().__init__()
        self.codes = codes
        graph = segment_graph(code.config for code in codes.values())
        self.groups = cyclic_groups(graph)
        self.held = reaching(graph, held)
        self.broken = reaching(graph, broken)

    def is_cut(self, key: str, other: str) -> bool:
        """Whether a segment cannot see another because both are in one cycle, wherever an evaluation starts."""
        group = self.groups.get(key)
        return group is not None and self.groups.get(other) == group

    def __missing__(self, key: str) -> SegmentMembership:
        code = self.codes.get(key)
        if code is None:
            return _nobody
        fast = code.fast()
        others = tuple(_nobody if self.is_cut(key, other) else self[other] for other in fast.segment_keys)
        careful = _CarefulSegment(key, code, others)
        bound: SegmentMembership = fast.factory(recall, careful, *fast.constants, *others)
        self[key] = bound
        return bound


class _CarefulSegment:
    """SegmentMembership for attributes of unusual types; written out only if one ever comes."""

    __slots__ = ("code", "function", "key", "others", "reads")

    def __init__(self, key: str, code: SegmentCode, others: tuple[SegmentMembership, ...]) -> None:
        self.key = key
        self.code = code
        self.others = others
        self.function: SegmentMembership | None = None
        self.reads: tuple[str, ...] = ()

    def __call__(self, context: Context, memo: Memo | None) -> bool:
        if self.function is None:
            generated = self.code.careful()
            conditions = self.code.config.conditions
            self.reads = () if conditions is None else _read_by([conditions])
            self.function = generated.factory(recall, None, *generated.constants, *self.others)
        return self.function(context.taken(f"segment {self.key}", self.reads), memo)


class Links:
    """The prerequisites of an environment's flags, computed when a flag with one changes."""

    __slots__ = ("asked_for", "unmeetable")

    def __init__(self, graph: Mapping[str, list[str]]) -> None:
        self.unmeetable = unmeetable(graph)
        self.asked_for = frozenset(other for others in graph.values() for other in others)


class Evaluators(dict[str, Evaluator]):
    """Evaluation functions by flag key for one configuration version, bound at first use; KeyError for what has none.

    Like `Segments`, it is filled without a lock: whoever comes second stores an equal function.
    """

    def __init__(
        self, codes: Mapping[str, FlagCode], segments: Segments, links: Links, version: int, stale: bool
    ) -> None:
        super().__init__()
        self.codes = codes
        self.segments = segments
        self.links = links
        self.version = version
        self.stale = stale

    def __missing__(self, key: str) -> Evaluator:
        code = self.codes[key]
        fast, decisions = code.fast()
        broken = next((other for other in fast.segment_keys if other in self.segments.broken), None)
        if broken is not None:
            raise NotUnderstoodError(f"segments.{broken}: update the SDK, it does not understand this segment.")
        is_held = code.is_held or not self.segments.held.isdisjoint(fast.segment_keys)
        stamp = (self.version, self.stale or is_held, NOT_UNDERSTOOD if is_held else None)
        by, logs_all = code.config.bucket_by, not code.config.logs_experiments_alone
        answers = tuple(
            decision.stamp(*stamp, is_exposure=logs_all or decision.experiment is not None, bucket_by=by)
            for decision in decisions
        )
        segments = tuple(self.segments[other] for other in fast.segment_keys)
        careful = Careful(code, self, answers, segments, stamp)
        bound: Evaluator = fast.factory(
            *TOOLS,
            careful,
            answers,
            *careful.prerequisites,
            *answers,
            *fast.constants,
            *segments,
        )
        self[key] = bound
        return bound

    def prerequisites(self, code: FlagCode) -> tuple[Any, ...]:
        """For each prerequisite, the function that evaluates it."""
        return tuple(
            self[prerequisite.flag_key] if self._can_meet(code, prerequisite.flag_key) else _unmet
            for prerequisite in code.config.prerequisites
        )

    def _can_meet(self, code: FlagCode, other: str) -> bool:
        config = code.config
        # A flag that is killed or off asks for none, so that one which cannot be evaluated keeps nobody from the kill.
        if config.kill_switch_variant is not None or not config.enabled or config.key in self.links.unmeetable:
            return False
        required = self.codes.get(other)
        return required is not None and required.config.enabled


class Careful:
    """A flag's evaluation for attributes of any type and contexts without a unit, generated at its first call."""

    __slots__ = ("answers", "bare", "code", "function", "prerequisites", "reads", "segments", "stamp")

    def __init__(
        self,
        code: FlagCode,
        evaluators: Evaluators,
        answers: tuple[Answer, ...],
        segments: tuple[SegmentMembership, ...],
        stamp: tuple[int, bool, str | None],
    ) -> None:
        self.code = code
        self.answers = answers
        self.segments = segments
        self.prerequisites = evaluators.prerequisites(code)
        self.stamp = stamp
        self.function: Any = None
        # The same answers, for evaluations without an exposure.
        self.bare: tuple[Answer, ...] = ()
        self.reads: tuple[str, ...] = ()

    def __call__(self, context: Context, memo: Memo | None = None) -> Answer:
        function = self.function
        if function is None:
            generated = self.code.careful()
            self.reads = _read_by_flag(self.code.config)
            self.bare = tuple(decision.stamp(*self.stamp, is_exposure=False) for decision in self.code.fast()[1])
            function = self.function = generated.factory(
                *TOOLS, None, None, *self.prerequisites, *generated.constants, *self.segments
            )
        context = context.taken(self.code.config.key, self.reads)
        unit = unit_of(self.code.config.bucket_by, context)
        answer: Answer = function(context, unit, self.bare if unit is None else self.answers, memo)
        return answer
