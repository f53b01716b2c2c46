"""What the policies ask of a change, from what it would serve: always, or by its impact, experiments or tags."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openflagship.engine import CompiledEnvironment, impact
from openflagship.engine.impact import EVERYONE

from approvals.models import Policy
from approvals.rules.content import Part
from approvals.rules.publishing import Ask
from flags.evaluation.compiled import compiled_at
from flags.evaluation.impact import experiments_touched, revalued
from flags.models import Change, Flag
from flags.selectors import segments_in
from flags.services.gate import Piece
from tenancy.models import Environment

_FLAG: Final = str(Change.Entity.FLAG)
_SEGMENT: Final = str(Change.Entity.SEGMENT)
# Whom a change of these reaches, arithmetic cannot tell where attributes decide: those that do, and what switches them.
_BY_ATTRIBUTES: Final = (
    "targets", "rules", "prerequisites", "bucketBy", "enabled", "killSwitchVariant", "defaultVariant", "offVariant",
    "experiment",
)  # fmt: skip
_EVERYBODY: Final = 100.0


@dataclass(frozen=True, slots=True)
class Touched:
    """The parts of one environment, and its configuration version before them."""

    environment: Environment
    since: int
    parts: Sequence[Part]


def touched_by(pieces: Iterable[Piece], dealt: Collection[str] = ()) -> list[Touched]:
    """Put together what writes change, by environment: each thing once, as it was and as it will be.

    `dealt` are the values that the writes drew themselves.
    """
    by_environment: dict[int, list[Piece]] = {}
    for piece in pieces:
        by_environment.setdefault(piece.environment.pk, []).append(piece)
    return [_touched(found, dealt) for found in by_environment.values()]


def _touched(pieces: Sequence[Piece], dealt: Collection[str]) -> Touched:
    environment, since = pieces[0].environment, min(piece.since for piece in pieces)
    first: dict[tuple[str, str], Piece] = {}
    last: dict[tuple[str, str], Piece] = {}
    for piece in pieces:
        first.setdefault((str(piece.entity), piece.key), piece)
        last[str(piece.entity), piece.key] = piece
    logged = {key for entity, key in first if entity in {_FLAG, _SEGMENT}}
    steps = Change.objects.filter(environment=environment, version__lte=since, key__in=logged)
    newest = steps.order_by("entity", "key", "-version").distinct("entity", "key")
    there = {(str(step.entity), step.key): step for step in newest} if logged else {}
    parts = []
    for name, piece in last.items():
        step = there.get(name)
        before = step.document if step is not None else first[name].before
        presentation = step.presentation if step is not None else {}
        is_salt_dealt = (piece.document or {}).get("salt") in dealt
        shown = presentation, piece.presentation
        parts.append(Part(environment.key, *name, before, piece.document, *shown, is_salt_dealt))
    return Touched(environment, since, parts)


def asks_of(touched: Iterable[Touched]) -> list[Ask]:
    """Return what the policies of the environments ask; nothing for those that ask nothing of this change."""
    found = []
    for one in touched:
        served = [part for part in one.parts if part.is_served_changed]
        if not served or not one.environment.is_guarded:
            continue
        policy = Policy.objects.filter(environment=one.environment).first()
        ask = _ask_of(policy, Touched(one.environment, one.since, served)) if policy and policy.is_asking else None
        if ask is not None:
            found.append(ask)
    return found


def _ask_of(policy: Policy, touched: Touched) -> Ask | None:
    """Return what the policy asks of these parts; None: nothing, since none of its conditions holds."""
    why = _reasons(policy, touched)
    if why is None:
        return None
    return Ask(
        touched.environment.key,
        policy.required_approvals,
        policy.is_own_approval_allowed,
        frozenset(policy.checks),
        tuple(why),
    )


def _reasons(policy: Policy, touched: Touched) -> list[str] | None:
    if policy.impact_percent is None and not policy.asks_for_experiments and not policy.tags:
        return ["every change"]
    before = compiled_at(touched.environment, touched.since)
    dependent = _dependent_flags(touched, before)
    keys = {part.key for part in touched.parts if part.entity == _FLAG} | dependent
    why = []
    if policy.impact_percent is not None:
        moved = _most_moved(touched, before, keys, dependent)
        if moved >= policy.impact_percent:
            why.append(f"it moves up to {moved:g} % of the users")
    if policy.asks_for_experiments and _touches_experiment(touched, keys):
        why.append("it touches an experiment")
    tags = sorted(_tags_of(touched, keys) & set(policy.tags))
    if tags:
        why.append(f"it touches what is tagged {', '.join(tags)}")
    return why or None


def _dependent_flags(touched: Touched, compiled: CompiledEnvironment) -> set[str]:
    """Return the flags that need a changed flag or ask for a changed segment, whether or not they change themselves."""
    segments = {part.key for part in touched.parts if part.entity == _SEGMENT}
    keys: set[str] = set()
    if segments:
        graph = {key: segments_in(found.document["conditions"]) for key, found in compiled.segments.items()}
        while more := {key for key, asked in graph.items() if segments & set(asked)} - segments:
            segments |= more
        for key, flag in compiled.flags.items():
            document = flag.document
            trees = [rule["conditions"] for rule in document["rules"]]
            trees.append((document["experiment"] or {}).get("audience"))
            if segments & set(segments_in(trees)):
                keys.add(key)
    needing = {
        key: {item["flagKey"] for item in flag.document["prerequisites"]} for key, flag in compiled.flags.items()
    }
    changed = {part.key for part in touched.parts if part.entity == _FLAG}
    while more := {key for key, asked in needing.items() if (keys | changed) & asked} - keys:
        keys |= more
    return keys


def _most_moved(touched: Touched, before: CompiledEnvironment, keys: set[str], dependent: set[str]) -> float:
    """Return the largest share in percent of users whom the change gives another variant of one flag.

    What attributes decide nobody can tell beforehand; it counts as everybody. Layers and metrics move nobody.
    """
    after = before.replace(
        before.version,
        flags={part.key: part.after for part in touched.parts if part.entity == _FLAG},
        segments={part.key: part.after for part in touched.parts if part.entity == _SEGMENT},
    )
    own = {part.key: part for part in touched.parts if part.entity == _FLAG and part.key not in dependent}
    return max((_moved(before, after, key, own.get(key)) for key in keys), default=0.0)


def _moved(before: CompiledEnvironment, after: CompiledEnvironment, key: str, part: Part | None) -> float:
    if part is None or part.before is None or part.after is None:
        # It depends on a changed segment or flag; or it is new, or nobody is served it any more.
        is_new_and_off = part is not None and part.before is None and not (part.after or {}).get("enabled")
        return 0.0 if is_new_and_off else _EVERYBODY
    found = impact(before, after, key=key)
    if revalued(part.before, part.after):
        return _EVERYBODY
    if found.basis != EVERYONE and any(part.before.get(name) != part.after.get(name) for name in _BY_ATTRIBUTES):
        return _EVERYBODY
    return round(100 * found.changed, 2)


def _touches_experiment(touched: Touched, keys: set[str]) -> bool:
    if any(part.entity in {"layer", "metric", "experiment"} for part in touched.parts):
        return True
    if any((state or {}).get("experiment") for part in touched.parts for state in (part.before, part.after)):
        return True
    return bool(experiments_touched(touched.environment, keys))


def _tags_of(touched: Touched, keys: set[str]) -> set[str]:
    """Return the tags of the flags, those that they had before the change too."""
    shown: list[Mapping[str, Any]] = [
        presentation for part in touched.parts for presentation in (part.presentation_before, part.presentation)
    ]
    rows = Flag.objects.filter(project=touched.environment.project_id, key__in=keys)
    return {tag for one in shown for tag in one.get("tags", ())} | {
        tag for tags in rows.values_list("tags", flat=True) for tag in tags
    }
