"""The impact of a change before it is made: the exact share of units that get another variant, from the ranges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from typing import Any, Final

from openflagship.engine.bucketing import BUCKETS
from openflagship.engine.compile import FlagCode
from openflagship.engine.context import Context
from openflagship.engine.decode import CONTRACT
from openflagship.engine.environment import CompiledEnvironment, CompiledFlag
from openflagship.engine.model import BucketBy

EVERYONE: Final = "everyone"
UNDECIDED: Final = "undecided"

Pair = tuple["str | None", "str | None"]
# What is hashed: two flags that share both see the same bucket, any others are independent.
Axis = tuple[BucketBy, str]


@dataclass(frozen=True, slots=True)
class Move:
    """A share (0 to 1) of units, and the variants they get before and after; None where there is no flag to ask."""

    before: str | None
    after: str | None
    share: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Both configurations evaluated over the given contexts: how many of `size` change variant, by pair."""

    size: int
    changed: int
    pairs: Mapping[Pair, int]


@dataclass(frozen=True, slots=True)
class Impact:
    """The shares of units whose variant changes.

    `moves` are exact for the units they speak of. These are all units (`basis` "everyone") where attributes play no
    part; else ("undecided") those with a unit whom no target and no rule decides, whose prerequisites are met and who
    are in the experiment's audience. `changed` is the sum of their shares. `sample` covers the rest, for the contexts
    given.
    """

    basis: str
    changed: float
    moves: tuple[Move, ...]
    before: Mapping[str | None, float]
    after: Mapping[str | None, float]
    sample: Sample | None

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "basis": self.basis,
            "changed": self.changed,
            "moves": [{"from": move.before, "to": move.after, "share": move.share} for move in self.moves],
            "before": _shares(self.before),
            "after": _shares(self.after),
        }
        if self.sample is not None:
            pairs = sorted(self.sample.pairs.items(), key=lambda item: (-item[1], str(item[0])))
            body["sample"] = {
                "size": self.sample.size,
                "changed": self.sample.changed,
                "moves": [{"from": old, "to": new, "contexts": count} for (old, new), count in pairs],
            }
        return body


@dataclass(frozen=True, slots=True)
class _Reading:
    """Labels over one axis: half-open ranges with a label, and None elsewhere."""

    axis: Axis
    ranges: tuple[tuple[int, int, Any], ...]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A flag for a unit that only buckets decide: the axes it reads, and the variant for each reading."""

    readings: tuple[_Reading, ...]
    decide: Callable[[Sequence[Any]], str | None]


def impact(
    before: CompiledEnvironment | Mapping[str, Any],
    after: CompiledEnvironment | Mapping[str, Any],
    contexts: Iterable[Context] | None = None,
    *,
    key: str | None = None,
) -> Impact:
    """The changes for the flag `key` between two environments, or between two documents of one flag.

    Documents are taken without an environment: no salt, segments or prerequisites. Raises ValueError where the key is
    needed and missing.
    """
    if isinstance(before, CompiledEnvironment) and isinstance(after, CompiledEnvironment):
        if key is None:
            raise ValueError("Name the flag whose change is looked at by its key.")
        return _impact(before, after, key, contexts)
    key = key or "flag"
    return _impact(_alone(before, key), _alone(after, key), key, contexts)


def _alone(flag: CompiledEnvironment | Mapping[str, Any], key: str) -> CompiledEnvironment:
    if isinstance(flag, CompiledEnvironment):
        raise ValueError("Give two environments or two flags, not one of each.")  # noqa: TRY004 one error for a bad call
    # Its own key may be the salt that is hashed.
    document = {"salt": flag.get("key"), **flag} if isinstance(flag.get("key"), str) else dict(flag)
    return CompiledEnvironment.from_document({"contract": CONTRACT, "version": 0, "flags": {key: document}})


def _impact(
    before: CompiledEnvironment, after: CompiledEnvironment, key: str, contexts: Iterable[Context] | None
) -> Impact:
    old, new = before.flags.get(key), after.flags.get(key)
    pairs = _pairs(_outcome(old), _outcome(new))
    moves = [Move(*pair, float(share)) for pair, share in pairs.items() if pair[0] != pair[1]]
    moves.sort(key=lambda move: (-move.share, str(move.before), str(move.after)))
    return Impact(
        basis=EVERYONE if _ignores_attributes(old) and _ignores_attributes(new) else UNDECIDED,
        changed=float(sum((share for pair, share in pairs.items() if pair[0] != pair[1]), Fraction(0))),
        moves=tuple(moves),
        before=_marginal(pairs, 0),
        after=_marginal(pairs, 1),
        sample=None if contexts is None else _sample(before, after, key, contexts),
    )


def _ignores_attributes(flag: CompiledFlag | None) -> bool:
    if flag is None or flag.config is None:
        return True
    config = flag.config
    if config.kill_switch_variant is not None or not config.enabled:
        return True
    has_audience = config.experiment is not None and config.experiment.audience is not None
    return not (config.prerequisites or config.targets or config.rules or has_audience)


def _outcome(flag: CompiledFlag | None) -> _Outcome:
    if flag is None or flag.code is None:
        return _Outcome((), lambda _: None)
    code: FlagCode = flag.code
    config = code.config
    if config.kill_switch_variant is not None:
        return _Outcome((), lambda _: config.kill_switch_variant)
    if not config.enabled:
        return _Outcome((), lambda _: config.off_variant)
    split = _Reading((config.bucket_by, code.prefix), config.allocation)
    experiment = config.experiment
    if experiment is None:
        return _Outcome((split,), lambda labels: labels[0] or config.default_variant)
    taking_part = tuple((start, end, True) for start, end in experiment.ranges)
    layer = _Reading((config.bucket_by, f"{experiment.layer.salt}:"), taking_part)
    control, default = experiment.control_variant, config.default_variant
    if experiment.allocation is not None:
        own = _Reading((config.bucket_by, code.prefix), experiment.allocation)
        return _Outcome(
            (split, layer, own),
            lambda labels: (labels[2] or control) if labels[1] else labels[0] or default,
        )
    return _Outcome((split, layer), lambda labels: (labels[0] or control) if labels[1] else default)


def _pairs(before: _Outcome, after: _Outcome) -> dict[Pair, Fraction]:
    """The share of units for every pair of variants, equal ones included."""
    readings = (*before.readings, *after.readings)
    axes = list(dict.fromkeys(reading.axis for reading in readings))
    shares: dict[Pair, Fraction] = {}
    for cells in product(*(_cells([reading for reading in readings if reading.axis == axis]) for axis in axes)):
        # Independent hashes: the share of a cell is the product of its sides.
        share = Fraction(1)
        waiting = {}
        for axis, (labels, size) in zip(axes, cells, strict=True):
            share *= Fraction(size, BUCKETS)
            waiting[axis] = iter(labels)
        found = [next(waiting[reading.axis]) for reading in readings]
        split = len(before.readings)
        pair = before.decide(found[:split]), after.decide(found[split:])
        shares[pair] = shares.get(pair, Fraction(0)) + share
    return shares


def _cells(readings: Sequence[_Reading]) -> list[tuple[tuple[Any, ...], int]]:
    """One axis split at every boundary: (a label per reading, buckets). Pieces with equal labels are merged."""
    edges = sorted(
        {0, BUCKETS, *(edge for reading in readings for start, end, _ in reading.ranges for edge in (start, end))}
    )
    sizes: Counter[tuple[Any, ...]] = Counter()
    for start, end in pairwise(edges):
        sizes[tuple(_label(reading, start) for reading in readings)] += end - start
    return list(sizes.items())


def _label(reading: _Reading, number: int) -> Any:
    return next((label for start, end, label in reading.ranges if start <= number < end), None)


def _marginal(pairs: Mapping[Pair, Fraction], side: int) -> dict[str | None, float]:
    shares: dict[str | None, Fraction] = {}
    for pair, share in pairs.items():
        shares[pair[side]] = shares.get(pair[side], Fraction(0)) + share
    return {variant: float(share) for variant, share in shares.items()}


def _sample(before: CompiledEnvironment, after: CompiledEnvironment, key: str, contexts: Iterable[Context]) -> Sample:
    counts: Counter[Pair] = Counter()
    size = 0
    for context in contexts:
        size += 1
        counts[before.evaluate(key, context).variant, after.evaluate(key, context).variant] += 1
    pairs = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    return Sample(size, sum(pairs.values()), pairs)


def _shares(shares: Mapping[str | None, float]) -> list[dict[str, Any]]:
    return [{"variant": variant, "share": share} for variant, share in shares.items()]
