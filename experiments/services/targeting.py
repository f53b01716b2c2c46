"""A change beneath a running experiment opens a new phase where `phases.begins_phase` says so.

The segments that rules and audience use decide who reaches the experiment as well. Results carry a caveat about
what opens no phase and may matter: the flag switched off, and a prerequisite that changed by itself.
"""

from typing import Any

from audit.actors import Actor
from experiments.models import Experiment
from experiments.services.lifecycle import open_next_phase
from experiments.services.phases import begins_phase
from flags.models import FlagConfig, Segment
from flags.selectors import segments_in

_MEMBERSHIP = ("included", "excluded", "conditions")


def follow_flag(*, config: FlagConfig, actor: Actor, before: dict[str, Any], after: dict[str, Any], **_: Any) -> None:
    """Open a phase where the change of the flag's document begins one, in the transaction of the change."""
    reason = begins_phase(before, after)
    if reason is not None:
        open_next_phase(
            actor=actor,
            environment=config.environment,
            pk=after["experiment"]["id"],
            # Until this moment the flag's old document applied.
            moment=config.updated_at,
            reason=reason,
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
