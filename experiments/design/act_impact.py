"""Whom an act on an experiment gives another variant: those who take part, the rest of its audience, everybody else.

Shares are exact, among those whom no target and no rule before decides.
"""

from collections.abc import Mapping
from typing import Any

from openflagship.engine import impact

from experiments.design.enabling import shares_of_impact
from experiments.design.payloads import ActImpact, GroupImpact
from experiments.documents import experiment_section
from experiments.models import Experiment
from flags.documents import flag_document

_EVERY_BUCKET = [[0, 10_000]]


def impact_of_start(experiment: Experiment, *, enable_flag: bool = False) -> ActImpact:
    now = {**flag_document(experiment.config), "experiment": None}
    after = {**now, "enabled": now["enabled"] or enable_flag}
    taking_part = {**after, "experiment": _section(experiment)} if after["enabled"] else after
    return {
        "act": "start",
        "groups": [
            _group("participants", "Users who take part", now, _of_participants(taking_part)),
            _group("others", "Everybody else", now, after),
        ],
    }


def impact_of_completion(experiment: Experiment, shipped: str, scope: str) -> ActImpact:
    """What `complete` changes. `shipped` is "" where the participants only return to what everybody else gets."""
    now = flag_document(experiment.config)
    rest = {**now, "experiment": None}
    if not experiment.owns_split:
        # Whoever takes no part in an experiment from before gets the default variant.
        rest["allocation"] = []
    then = {**rest, "allocation": [[0, 10_000, shipped]]} if shipped else rest
    taking_part = _of_participants({**now, "experiment": _section(experiment)})
    groups = [_group("participants", "Users who take part", taking_part, then)]
    if shipped and scope == Experiment.Scope.AUDIENCE:
        groups.append(_group("audience", "Others of the audience", rest, then))
        groups.append(_group("others", "Everybody outside the audience", rest, rest))
    else:
        groups.append(_group("others", "Everybody else", rest, then))
    return {"act": "complete", "groups": groups}


def unchanging(act: str) -> ActImpact:
    """Pausing and resuming change what is analysed, and nothing that is served."""
    return {"act": act, "groups": []}


def _section(experiment: Experiment) -> dict[str, Any]:
    return {**experiment_section(experiment), "status": Experiment.Status.RUNNING}


def _of_participants(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as a participant meets it: in the audience and in the traffic."""
    section = document["experiment"]
    if section is None:
        return dict(document)
    return {**document, "experiment": {**section, "ranges": _EVERY_BUCKET, "audience": None}}


def _group(group: str, who: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> GroupImpact:
    found = impact(before, after)
    shown_before, shown_after = shares_of_impact(found.before), shares_of_impact(found.after)
    if found.changed:
        text = f"{who}: {100 * found.changed:.4g} % of them get another variant. From now on {_listed(shown_after)}."
    else:
        text = f"{who}: nobody gets another variant ({_listed(shown_after)})."
    return {"group": group, "before": shown_before, "after": shown_after, "changed": found.changed, "text": text}


def _listed(shares: Any) -> str:
    return ", ".join(f"{100 * item['share']:.4g} % {item['variant']}" for item in shares)
