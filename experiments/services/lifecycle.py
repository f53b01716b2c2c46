"""Start, pause, resume, restart and complete. Each updates the flag's document in the same transaction."""

import math
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

import audit.services
from analytics.services import open_phase
from audit.actors import Actor
from experiments.definitions import definitions_of
from experiments.design.preflight import Preflight, check_before_start
from experiments.documents import experiment_resource, split_of
from experiments.models import Experiment, Phase
from experiments.resources import ExperimentResource
from experiments.selectors import get_experiment, metrics
from experiments.services import drafts
from experiments.services.experiments import locked_experiment, serve
from experiments.services.phases import STARTED, restarted_because
from experiments.signals import experiment_changed
from flags.models import FlagConfig
from flags.services import set_experiment, update_flag
from flags.services.layers import release_range
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment
from tenancy.refusals import refuse_stale

# What an experiment without a plan is tuned to, where its need is not known either.
_EXPECTED_DAYS = 28
_RESTART_FIELDS = frozenset({"rollout", "audience", "trafficPercent", "reason", "version"})


@transaction.atomic
def start_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    version: int | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> tuple[Experiment, Preflight]:
    """Start a draft after the pre-flight check, whose warnings come back. Raises Invalid (what it refuses), Conflict.

    `at` dates the start back, for data that was gathered before (the demo, an import); never ahead.
    """
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    _require(experiment, "start", Experiment.Status.DRAFT)
    moment = _moment(at)
    preflight = check_before_start(experiment)
    if preflight.conflicts:
        raise Conflict(
            preflight.conflicts[0].detail, code=preflight.conflicts[0].code, attr=preflight.conflicts[0].attr
        )
    if preflight.problems:
        raise Invalid(preflight.problems)
    experiment.status, experiment.started_at = Experiment.Status.RUNNING, moment
    _save(experiment)
    config = serve(actor, experiment)
    _open_phase(experiment, config, moment, reason=STARTED, tuned_users=_expected_users(experiment, preflight))
    return _finish(actor, experiment, "started", before, reason), preflight


def _expected_users(experiment: Experiment, preflight: Preflight) -> int | None:
    """How many users the experiment is expected to end with: the plan, else the need, else four weeks of traffic."""
    estimate = preflight.estimate
    if experiment.planned_users or estimate is None:
        return experiment.planned_users
    return estimate.users_needed or math.ceil(estimate.users_per_day * _EXPECTED_DAYS) or None


@transaction.atomic
def pause_experiment(
    *, actor: Actor, environment: Environment, pk: Any, version: int | None = None, reason: str = ""
) -> Experiment:
    """Stop enrolling new users. What is served stays as it is. Pausing again changes nothing."""
    experiment = locked_experiment(environment, pk)
    if experiment.status == Experiment.Status.PAUSED:
        return experiment
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    _require(experiment, "pause", Experiment.Status.RUNNING)
    experiment.status = Experiment.Status.PAUSED
    _save(experiment)
    phase = current_phase(experiment)
    phase.pauses = [*phase.pauses, [timezone.now().isoformat(), None]]
    phase.save(update_fields=["pauses"])
    serve(actor, experiment)
    return _finish(actor, experiment, "paused", before, reason)


@transaction.atomic
def resume_experiment(
    *, actor: Actor, environment: Environment, pk: Any, version: int | None = None, reason: str = ""
) -> Experiment:
    """Enrol new users again after a pause. Resuming a running experiment changes nothing."""
    experiment = locked_experiment(environment, pk)
    if experiment.status == Experiment.Status.RUNNING:
        return experiment
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    _require(experiment, "resume", Experiment.Status.PAUSED)
    experiment.status = Experiment.Status.RUNNING
    if experiment.ends_at is not None and experiment.ends_at <= timezone.now():
        # The end date has caused this pause already; without this it would pause the experiment again.
        experiment.ends_at = None
    _save(experiment)
    phase = current_phase(experiment)
    _end_pause(phase, timezone.now())
    phase.save(update_fields=["pauses"])
    serve(actor, experiment)
    return _finish(actor, experiment, "resumed", before, reason)


@transaction.atomic
def restart_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    changes: Mapping[str, Any] | None = None,
    version: int | None = None,
    reason: str = "",
) -> Experiment:
    """Begin a new phase with a new salt, so that every user is assigned anew. Phases are analysed apart.

    `changes` may name `rollout` ([{variant, percent}], the new split), `audience` and `trafficPercent`.
    """
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    _require(experiment, "restart", *Experiment.SERVED)
    changes = dict(changes or {})
    unknown = sorted(changes.keys() - _RESTART_FIELDS)
    if unknown:
        raise Invalid(
            "A restart may change rollout, audience and trafficPercent.", attr=unknown[0], code="unknown_field"
        )
    moment, flag_key = _now(), experiment.config.flag.key
    _close_phase(experiment, moment)
    if "rollout" in changes:
        set_experiment(actor=actor, environment=environment, key=flag_key, section=None)
        update_flag(
            actor=actor,
            environment=environment,
            key=flag_key,
            payload={"rollout": changes["rollout"]},
            version=None,
            reason=f"Restart of the experiment {experiment.name}",
        )
        experiment.config.refresh_from_db()
    draft = drafts.Draft(experiment)
    parts: dict[str, Any] = {name: changes[name] for name in ("audience", "trafficPercent") if name in changes}
    drafts.apply(draft, parts, {metric.key: metric for metric in metrics(environment.project)})
    drafts.check(draft)
    if draft.problems:
        raise Invalid(draft.problems)
    _require_split(experiment)
    experiment.status = Experiment.Status.RUNNING
    _save(experiment)
    config = serve(actor, experiment, salt=f"{flag_key}:{secrets.token_hex(8)}")
    _open_phase(experiment, config, moment, reason=restarted_because(changes, reason))
    return _finish(actor, experiment, "restarted", before, reason)


@transaction.atomic
def open_next_phase(*, actor: Actor, environment: Environment, pk: Any, moment: datetime, reason: str) -> Experiment:
    """Begin a new phase at `moment` with the same salt, so that every user keeps the variant.

    A pause continues in the new phase. A change of targeting opens a phase in its own transaction.
    """
    experiment = locked_experiment(environment, pk)
    _require(experiment, "begin a phase", *Experiment.SERVED)
    before = experiment_resource(experiment)
    since = max(_in_milliseconds(moment), current_phase(experiment).started_at)
    _close_phase(experiment, since)
    _save(experiment)
    _open_phase(experiment, experiment.config, since, reason=reason)
    if experiment.status == Experiment.Status.PAUSED:
        phase = current_phase(experiment)
        phase.pauses = [[since.isoformat(), None]]
        phase.save(update_fields=["pauses"])
    return _finish(actor, experiment, "phase_opened", before, reason)


@transaction.atomic
def complete_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    decision: str,
    variant: str | None = None,
    version: int | None = None,
    reason: str = "",
) -> Experiment:
    """End the experiment with a decision: `ship` rolls `variant` out to everybody, `stop` the control variant.

    The flag's targets and rules stay. Events go on counting for those who were enrolled, until 7 days after the end;
    until then its buckets of a shared layer rest, so that no user goes from one experiment straight into the next.
    """
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    _require(experiment, "complete", *Experiment.SERVED)
    shipped = _decided(experiment, decision, variant)
    moment, flag_key = _now(), experiment.config.flag.key
    _close_phase(experiment, moment)
    experiment.status, experiment.ended_at = Experiment.Status.COMPLETED, moment
    experiment.decision, experiment.shipped_variant = decision, shipped
    _save(experiment)
    set_experiment(actor=actor, environment=environment, key=flag_key, section=None)
    update_flag(
        actor=actor,
        environment=environment,
        key=flag_key,
        payload={"rollout": [{"variant": shipped, "percent": 100}]},
        version=None,
        reason=f"Decision of the experiment {experiment.name}: {decision}",
    )
    return _finish(actor, experiment, "completed", before, reason)


@transaction.atomic
def free_layer_range(*, actor: Actor, environment: Environment, pk: Any) -> bool:
    """Return a completed experiment's buckets to its layer. Return whether it had any."""
    experiment = locked_experiment(environment, pk)
    layer = experiment.layer
    if layer is None or experiment.status != Experiment.Status.COMPLETED:
        return False
    if not layer.slots.filter(experiment_id=experiment.pk).exists():
        return False
    release_range(layer, experiment.pk)
    audit.services.record(
        actor=actor,
        action="experiment.layer_freed",
        at=experiment.environment,
        key=experiment.key,
        after={"layer": layer.key},
    )
    return True


def current_phase(experiment: Experiment) -> Phase:
    """The open phase of a running or paused experiment."""
    return Phase.objects.get(experiment=experiment, ended_at__isnull=True)


def _decided(experiment: Experiment, decision: str, variant: str | None) -> str:
    known = [item["key"] for item in experiment.config.flag.variants]
    if decision == Experiment.Decision.STOP:
        if variant not in (None, experiment.control_variant):
            raise Invalid(
                "Stopping gives everybody the control variant; to ship another, decide `ship`.", attr="variant"
            )
        return experiment.control_variant
    if decision != Experiment.Decision.SHIP:
        raise Invalid("Decide `ship` (with a variant) or `stop`.", attr="decision", code="invalid_choice")
    if variant is None or variant not in known:
        raise Invalid(f"Name the variant to ship, one of: {', '.join(known)}.", attr="variant", code="unknown_variant")
    return variant


def _require(experiment: Experiment, verb: str, *statuses: str) -> None:
    if experiment.status not in statuses:
        raise Conflict(
            f"The experiment is {experiment.status}; only one that is {' or '.join(statuses)} can {verb}.",
            code="wrong_status",
            attr="status",
        )


def _require_split(experiment: Experiment) -> None:
    split = split_of(experiment.config, experiment.control_variant)
    if sum(weight > 0 for weight in split.values()) < 2 or not split[experiment.control_variant]:
        raise Invalid(
            "The control and at least one other variant need a share of the flag's rollout.",
            attr="rollout",
            code="invalid_split",
        )


def _now() -> datetime:
    return _in_milliseconds(timezone.now())


def _in_milliseconds(moment: datetime) -> datetime:
    """Cut to milliseconds, as events carry them: a phase must not begin just after an event of the same millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _moment(at: datetime | None) -> datetime:
    if at is not None and at > timezone.now():
        raise Invalid("A start can be dated back, not ahead; use startsAt.", attr="at", code="out_of_range")
    return _now() if at is None else _in_milliseconds(at)


def _open_phase(
    experiment: Experiment, config: FlagConfig, moment: datetime, *, reason: str, tuned_users: int | None = None
) -> None:
    """Open the next phase, with a copy of its metrics' definitions.

    Later phases keep the `tuned_users` of the first, which the start has fixed.
    """
    experiment.environment.refresh_from_db(fields=["config_version"])
    earlier = Phase.objects.filter(experiment=experiment)
    first = earlier.order_by("number").first()
    Phase.objects.create(
        experiment=experiment,
        number=earlier.count() + 1,
        started_at=moment,
        salt=config.salt,
        bucket_by=config.bucket_by,
        weights=split_of(config, experiment.control_variant),
        audience=experiment.audience,
        config_version=experiment.environment.config_version,
        tuned_users=tuned_users if first is None else first.tuned_users,
        definitions=definitions_of(experiment),
        reason=reason,
    )
    open_phase(environment_id=experiment.environment_id, experiment=experiment.key, started_at=moment)


def _close_phase(experiment: Experiment, moment: datetime) -> None:
    phase = current_phase(experiment)
    _end_pause(phase, moment)
    phase.ended_at = moment
    phase.save(update_fields=["pauses", "ended_at"])


def _end_pause(phase: Phase, moment: datetime) -> None:
    phase.pauses = [[since, until or moment.isoformat()] for since, until in phase.pauses]


def _save(experiment: Experiment) -> None:
    experiment.version += 1
    experiment.save()


def _finish(actor: Actor, experiment: Experiment, change: str, before: ExperimentResource, reason: str) -> Experiment:
    saved = get_experiment(experiment.environment, experiment.pk)
    experiment_changed.send(sender=Experiment, experiment=saved, actor=actor, change=change)
    audit.services.record(
        actor=actor,
        action=f"experiment.{change}",
        at=saved.environment,
        key=saved.key,
        before=before,
        after=experiment_resource(saved),
        reason=reason,
    )
    return saved
