"""A change of targeting of a running experiment opens a new phase.

Rules, targets, prerequisites, and the segments that rules and audience use decide who reaches the experiment. After a
change the users are a different population, and pooled figures would compare mixtures. Turning the flag on or off,
killing it and releasing it open no phase: while the flag is off nobody is exposed, and afterwards the same users get
the same variants. Results carry a caveat about it, as they do about a prerequisite that changed by itself.
"""

from typing import Any

from audit.actors import Actor
from experiments.models import Experiment
from experiments.services.lifecycle import open_next_phase
from flags.models import FlagConfig, Segment
from flags.selectors import segments_in

_TARGETING = ("targets", "rules", "prerequisites")
_MEMBERSHIP = ("included", "excluded", "conditions")


def follow_flag(*, config: FlagConfig, actor: Actor, before: dict[str, Any], after: dict[str, Any], **_: Any) -> None:
    """Open a phase where the targeting changed, in the transaction of the flag's change."""
    changed = [name for name in _TARGETING if _meaning(before[name]) != _meaning(after[name])]
    if changed and config.experiment:
        open_next_phase(
            actor=actor,
            environment=config.environment,
            pk=config.experiment["id"],
            # Until this moment the flag's old document applied.
            moment=config.updated_at,
            reason=f"The flag's {' and '.join(changed)} changed.",
        )


def follow_segment(*, segment: Segment, actor: Actor, before: dict[str, Any], after: dict[str, Any], **_: Any) -> None:
    """Open a phase of each experiment whose targeting uses the segment, directly or through another segment."""
    if all(before[name] == after[name] for name in _MEMBERSHIP):
        return
    served = Experiment.objects.filter(environment=segment.environment_id, status__in=Experiment.SERVED)
    found = list(served.select_related("environment").prefetch_related("config__rules"))
    if not found:
        return
    graph = {key: segments_in(tree) for key, tree in _conditions(segment)}
    for experiment in found:
        asked = [*(rule.conditions for rule in experiment.config.rules.all()), experiment.audience]
        if segment.key in _reachable([key for tree in asked for key in segments_in(tree)], graph):
            open_next_phase(
                actor=actor,
                environment=experiment.environment,
                pk=experiment.pk,
                moment=segment.updated_at,
                reason=f"The segment {segment.key} changed, which decides who takes part.",
            )


def _conditions(segment: Segment) -> list[tuple[str, Any]]:
    others = Segment.objects.filter(environment=segment.environment_id, conditions__isnull=False)
    return list(others.values_list("key", "conditions"))


def _reachable(keys: list[str], graph: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += graph.get(key, [])
    return found


def _meaning(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts without what does not decide who matches: a rule's name, id and priority number."""
    return [{name: value for name, value in part.items() if name not in {"id", "name", "priority"}} for part in parts]
