"""A change beneath a running experiment opens a new phase where `phases.begins_phase` says so.

The segments that rules and audience use decide who reaches the experiment as well. Results carry a caveat about
what opens no phase and may matter: the flag switched off, and a prerequisite that changed by itself.
"""

from typing import Any

from audit.actors import Actor
from experiments.models import Experiment
from experiments.selectors import with_parts
from experiments.services.lifecycle import open_next_phase
from experiments.services.phases import PhaseCost, begins_phase, cost_of_a_phase
from flags.models import FlagConfig, Segment
from flags.selectors import segments_in
from tenancy.models import Environment

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
    for experiment in _deciding_by(segment.environment, before, after):
        open_next_phase(
            actor=actor,
            environment=experiment.environment,
            pk=experiment.pk,
            moment=segment.updated_at,
            reason=_reason(segment.key),
        )


def phases_begun_by_segment(
    *, environment: Environment, before: dict[str, Any], after: dict[str, Any], **_: Any
) -> list[PhaseCost]:
    """The experiments in which the change of the segment would begin a phase, with what has been gathered."""
    return [
        cost_of_a_phase(experiment, _reason(before["key"])) for experiment in _deciding_by(environment, before, after)
    ]


def _reason(key: str) -> str:
    return f"The segment {key} changed, which decides who takes part."


def _deciding_by(environment: Environment, before: dict[str, Any], after: dict[str, Any]) -> list[Experiment]:
    """The served experiments that the segment decides who takes part in, where the change is one of its members."""
    if all(before[name] == after[name] for name in _MEMBERSHIP):
        return []
    served = Experiment.objects.filter(environment=environment, status__in=Experiment.SERVED)
    candidates = list(with_parts(served).select_related("environment").prefetch_related("config__rules"))
    if not candidates:
        return []
    others = Segment.objects.filter(environment=environment, conditions__isnull=False)
    graph = {key: segments_in(tree) for key, tree in others.values_list("key", "conditions")}
    found = []
    for experiment in candidates:
        asked = [*(rule.conditions for rule in experiment.config.rules.all()), experiment.audience]
        if before["key"] in _reachable([key for tree in asked for key in segments_in(tree)], graph):
            found.append(experiment)
    return found


def _reachable(keys: list[str], graph: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += graph.get(key, [])
    return found
