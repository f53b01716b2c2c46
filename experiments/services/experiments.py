"""Creating, changing and deleting experiments. `lifecycle.py` starts, pauses and completes them."""

import secrets
from collections.abc import Mapping
from typing import Any, cast

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from experiments.design.splits import even_split
from experiments.documents import experiment_resource, experiment_section, guardrail_resources, secondary_keys
from experiments.models import Experiment, ExperimentMetric
from experiments.resources import ExperimentResource
from experiments.selectors import get_experiment, metrics
from experiments.services import drafts, exploratory, keys
from experiments.services.from_rule import design_from_rule
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import gate, refuse_several_units, set_experiment, version_log
from flags.services.layers import reserve_range
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment
from tenancy.refusals import refuse_read_only, refuse_stale


def locked_experiment(environment: Environment, pk: Any) -> Experiment:
    """Lock the environment's row, then the experiment's. Every writer here and in flags locks in this order."""
    version_log.lock_environment(environment)
    found = get_experiment(environment, pk)
    Experiment.objects.select_for_update().get(pk=found.pk)
    return get_experiment(environment, found.pk)


# Fields that are shown, and what changes them.
_CHANGED_BY = {
    "status": "Its acts change this: POST experiments/{id}/start, pause, resume, restart and complete.",
    "decision": "POST experiments/{id}/complete decides.",
    "phase": "POST experiments/{id}/restart begins a phase.",
    "id": "",
    "startedAt": "",
    "endedAt": "",
    "createdAt": "",
    "updatedAt": "",
}


def create_experiment(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> Experiment:
    """As `find_or_create_experiment`, for those who need not know whether it is new."""
    return find_or_create_experiment(actor=actor, environment=environment, payload=payload)[0]


@transaction.atomic
def find_or_create_experiment(
    *, actor: Actor, environment: Environment, payload: Mapping[str, Any]
) -> tuple[Experiment, bool]:
    """Create a draft. Nothing is served or counted before it starts, and the flag stays as it is.

    `fromRule` takes audience, place and shares from a rule of the flag, where the payload does not name them. Returns
    whether it is new: a key that exists with the same content is found. Raises Invalid, NotFound for the flag, and
    Conflict `key_exists`.
    """
    for name in ("name", "flagKey", "primaryMetric"):
        if not payload.get(name):
            raise Invalid("An experiment needs a name, a flag and a primary metric.", attr=name, code="required")
    locked = version_log.lock_environment(environment)
    config = get_config(locked, payload["flagKey"])
    refuse_several_units(config, attr="flagKey")
    design = {name: value for name, value in payload.items() if name != "fromRule"}
    if payload.get("fromRule") is not None:
        design = {**design_from_rule(config, payload["fromRule"]), **design}
    experiment = Experiment(
        environment=locked,
        config=config,
        slug=keys.wanted_key(locked, design),
        control_variant=config.flag.variants[0]["key"],
        layer_salt=new_layer_salt(config.flag.key),
    )
    experiment.allocation = even_split(experiment)
    draft = drafts.Draft(experiment, [])
    _check(draft, locked, design)
    existing = keys.with_key(locked, experiment.slug)
    if existing is not None:
        return keys.same_or_conflict(existing, _resource_of(draft), drafts.FIELDS & design.keys()), False
    experiment.save(force_insert=True)
    _save_uses(draft)
    saved = get_experiment(locked, experiment.pk)
    audit.services.record(
        actor=actor,
        action="experiment.created",
        at=saved.environment,
        key=saved.key,
        after=experiment_resource(saved),
    )
    return saved, True


def new_layer_salt(flag_key: str) -> str:
    """A salt of its own for each experiment, so that a second one on the same flag takes other users."""
    return f"layer:{flag_key}:{secrets.token_hex(8)}"


@gate.act("experiment.update")
@transaction.atomic
def update_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    payload: Mapping[str, Any],
    version: int | None,
    is_partial: bool = True,
) -> Experiment:
    """Change a draft. A running or paused experiment allows `LIVE_FIELDS` alone, and its traffic may only grow.

    Metrics may be added to it; they are exploratory.
    Raises Conflict `version_conflict`, or `rollout_conflict` for what a restart or another experiment is needed for.
    """
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    refuse_read_only(payload, before, _CHANGED_BY)
    if payload.get("flagKey", before["flagKey"]) != before["flagKey"]:
        raise Invalid("The flag of an experiment never changes; create another.", attr="flagKey", code="immutable")
    if payload.get("key", before["key"]) != before["key"]:
        raise Invalid("The key of an experiment never changes; create another.", attr="key", code="immutable")
    full = dict(payload) if is_partial else {**_defaults(experiment), **payload}
    traffic_before = experiment.traffic_bp
    draft = drafts.Draft(experiment)
    _check(draft, environment, full)
    added: list[ExperimentMetric] = []
    if experiment.status != Experiment.Status.DRAFT:
        _refuse_locked(draft, before, traffic_before)
        added = [] if draft.uses is None else exploratory.mark_added(experiment, draft.uses, timezone.now())
    experiment.version += 1
    experiment.save()
    _save_uses(draft)
    saved = get_experiment(environment, experiment.pk)
    if added:
        exploratory.keep_in_phase(saved, added)
    if saved.is_served and saved.traffic_bp != traffic_before:
        serve(actor, saved)
    audit.services.record(
        actor=actor,
        action="experiment.updated",
        at=saved.environment,
        key=saved.key,
        before=before,
        after=experiment_resource(saved),
    )
    return saved


def _defaults(experiment: Experiment) -> dict[str, Any]:
    return {
        "hypothesis": "",
        "controlVariant": experiment.config.flag.variants[0]["key"],
        "layer": None,
        "trafficPercent": 100,
        "audience": None,
        "allocation": None,
        "priority": None,
        "secondaryMetrics": [],
        "guardrails": [],
        "analysis": {},
        "breakdowns": [],
        "autoPauseOnSrm": False,
        "startsAt": None,
        "endsAt": None,
    }


def _refuse_locked(draft: drafts.Draft, before: ExperimentResource, traffic_before: int) -> None:
    experiment = draft.experiment
    after = _resource_of(draft)
    old, new = cast(Mapping[str, object], before), cast(Mapping[str, object], after)
    changed = [name for name in drafts.FIELDS - drafts.LIVE_FIELDS - drafts.GROWING_FIELDS if new[name] != old[name]]
    if changed:
        raise Conflict(
            f"The experiment has started, and its figures rest on: {', '.join(sorted(changed))}. Complete it and "
            "create another, or restart it with another split, audience or traffic.",
            code="rollout_conflict",
            attr=min(changed),
        )
    if experiment.status == Experiment.Status.COMPLETED and experiment.traffic_bp != traffic_before:
        raise Conflict("The experiment is completed.", code="rollout_conflict", attr="trafficPercent")
    if experiment.traffic_bp < traffic_before:
        raise Conflict(
            "While an experiment runs its traffic may grow, not shrink: those who left would still be counted.",
            code="rollout_conflict",
            attr="trafficPercent",
        )


def _resource_of(draft: drafts.Draft) -> ExperimentResource:
    """The draft as it would be answered once it is stored."""
    resource = experiment_resource(draft.experiment)
    if draft.uses is not None:
        resource["secondaryMetrics"] = secondary_keys(draft.uses)
        resource["guardrails"] = guardrail_resources(draft.uses)
    return resource


@transaction.atomic
def delete_experiment(*, actor: Actor, environment: Environment, pk: Any, reason: str = "") -> None:
    """Delete a draft. An experiment that has run stays, with its results."""
    experiment = locked_experiment(environment, pk)
    if experiment.status != Experiment.Status.DRAFT:
        raise Conflict(
            "Only a draft can be deleted: what has run is kept, with its results.", code="in_use", attr="status"
        )
    before = experiment_resource(experiment)
    key = experiment.key
    experiment.delete()
    audit.services.record(
        actor=actor,
        action="experiment.deleted",
        at=experiment.environment,
        key=key,
        before=before,
        reason=reason,
    )


def serve(actor: Actor, experiment: Experiment, salt: str | None = None, *, enable_flag: bool = False) -> FlagConfig:
    """Write a running or paused experiment into its flag's document, and reserve its share of the layer.

    Raises Conflict `layer_full`. An experiment keeps the buckets that it has: growing traffic moves no user out.
    """
    layer = experiment.layer
    ranges = reserve_range(layer, experiment.pk, experiment.traffic_bp) if layer else None
    return set_experiment(
        actor=actor,
        environment=experiment.environment,
        key=experiment.config.flag.key,
        section=experiment_section(experiment, ranges),
        salt=salt,
        enable_flag=enable_flag,
    )


def _check(draft: drafts.Draft, environment: Environment, payload: Mapping[str, Any]) -> None:
    drafts.apply(draft, payload, {metric.key: metric for metric in metrics(environment.project)})
    if not draft.problems:
        drafts.check(draft)
    if draft.problems:
        raise Invalid(draft.problems)


def _save_uses(draft: drafts.Draft) -> None:
    if draft.uses is None:
        return
    ExperimentMetric.objects.filter(experiment=draft.experiment).delete()
    for use in draft.uses:
        use.pk = None
    ExperimentMetric.objects.bulk_create(draft.uses)
