"""Start, pause, resume and restart; `completion.py` has the end. Each updates the flag's document with it."""

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
from experiments.design.preflight import Preflight, check_before_start, refusals
from experiments.design.splits import split_problems
from experiments.documents import experiment_resource, split_of
from experiments.models import Experiment, Phase
from experiments.resources import ExperimentResource
from experiments.selectors import get_experiment, metrics
from experiments.services import drafts
from experiments.services.experiments import locked_experiment, serve
from experiments.services.exploratory import plan_all
from experiments.services.phases import STARTED, restarted_because
from experiments.signals import experiment_changed
from flags.models import FlagConfig
from flags.services import gate, set_experiment, update_flag, version_log
from flags.services.layers import release_range
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment
from tenancy.refusals import refuse_stale

# What an experiment without a plan is tuned to, where its need is not known either.
_EXPECTED_DAYS = 28
# `rollout` is the former name of `allocation`, and what an experiment without a split of its own calls it.
_RESTART_FIELDS = frozenset({"allocation", "rollout", "audience", "trafficPercent"})


@gate.act("experiment.start")
def start_experiment(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    version: int | None = None,
    reason: str = "",
    at: datetime | None = None,
    enable_flag: bool = False,
) -> tuple[Experiment, Preflight]:
    """Start a draft after the pre-flight check, whose warnings come back. Raises Invalid (what it refuses), Conflict.

    It enters the flag's document with its split, audience and place; whoever takes no part is served as before. Only
    with `enable_flag` is a flag that is off switched on, which changes what the others get: the check says to what.
    `at` dates the start back, for data that was gathered before (the demo, an import); never ahead.
    """
    asked = get_experiment(environment, pk)
    require_status(asked, "start", Experiment.Status.DRAFT)
    # The forecast is worked out before the lock, because other writers would wait for it. A trial is under that lock,
    # and keeps nothing of the forecast, which refuses nothing either.
    check = refusals if gate.is_trial() else check_before_start
    preflight = check(asked, enable_flag=enable_flag)
    started = _start(
        actor=actor,
        environment=environment,
        pk=asked.pk,
        version=version,
        reason=reason,
        at=at,
        enable_flag=enable_flag,
        preflight=preflight,
    )
    return started, preflight


@transaction.atomic
def _start(
    *,
    actor: Actor,
    environment: Environment,
    pk: Any,
    version: int | None,
    reason: str,
    at: datetime | None,
    enable_flag: bool,
    preflight: Preflight,
) -> Experiment:
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    require_status(experiment, "start", Experiment.Status.DRAFT)
    moment = _moment(at)
    found = refusals(experiment, enable_flag=enable_flag)
    if found.conflicts:
        raise Conflict(found.conflicts[0].detail, code=found.conflicts[0].code, attr=found.conflicts[0].attr)
    if found.problems:
        raise Invalid(found.problems)
    experiment.status, experiment.started_at = Experiment.Status.RUNNING, moment
    save_next_version(experiment)
    config = serve(actor, experiment, enable_flag=enable_flag)
    _open_phase(experiment, config, moment, reason=STARTED, tuned_users=_expected_users(experiment, preflight))
    return finish(actor, experiment, "started", before, reason)


def _expected_users(experiment: Experiment, preflight: Preflight) -> int | None:
    """How many users the experiment is expected to end with: the plan, else the need, else four weeks of traffic."""
    estimate = preflight.estimate
    if experiment.planned_users or estimate is None:
        return experiment.planned_users
    return estimate.users_needed or math.ceil(estimate.users_per_day * _EXPECTED_DAYS) or None


@gate.act("experiment.pause")
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
    require_status(experiment, "pause", Experiment.Status.RUNNING)
    experiment.status = Experiment.Status.PAUSED
    save_next_version(experiment)
    phase = current_phase(experiment)
    phase.pauses = [*phase.pauses, [timezone.now().isoformat(), None]]
    phase.save(update_fields=["pauses"])
    serve(actor, experiment)
    return finish(actor, experiment, "paused", before, reason)


@gate.act("experiment.resume")
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
    require_status(experiment, "resume", Experiment.Status.PAUSED)
    experiment.status = Experiment.Status.RUNNING
    if experiment.ends_at is not None and experiment.ends_at <= timezone.now():
        # The end date has caused this pause already; without this it would pause the experiment again.
        experiment.ends_at = None
    save_next_version(experiment)
    phase = current_phase(experiment)
    _end_pause(phase, timezone.now())
    phase.save(update_fields=["pauses"])
    serve(actor, experiment)
    return finish(actor, experiment, "resumed", before, reason)


@gate.act("experiment.restart")
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

    `changes` may name `allocation` ([{variant, percent}], the new split), `audience` and `trafficPercent`. The salt is
    the flag's, so its rollout and the shares of its rules are dealt anew as well.
    """
    # The flag may be changed in every environment: all are locked at once, in their one order.
    version_log.lock_project(environment.project)
    experiment = locked_experiment(environment, pk)
    before = experiment_resource(experiment)
    refuse_stale("experiment", before, version)
    require_status(experiment, "restart", *Experiment.SERVED)
    changes = _restart_changes(changes or {})
    moment, flag_key = now_in_milliseconds(), experiment.config.flag.key
    close_phase(experiment, moment)
    parts = dict(changes)
    if "allocation" in parts and not experiment.owns_split:
        _change_rollout(actor, experiment, parts.pop("allocation"), f"Restart of the experiment {experiment.name}")
    draft = drafts.Draft(experiment)
    drafts.apply(draft, parts, {metric.key: metric for metric in metrics(environment.project)})
    drafts.check(draft)
    if draft.problems:
        raise Invalid(draft.problems)
    if not experiment.owns_split and split_problems(experiment):
        raise Invalid([Problem("rollout", found.code, found.detail) for found in split_problems(experiment)])
    plan_all(experiment)
    experiment.status = Experiment.Status.RUNNING
    save_next_version(experiment)
    config = serve(actor, experiment, salt=gate.dealt(f"{flag_key}:{secrets.token_hex(8)}"))
    _open_phase(experiment, config, moment, reason=restarted_because(changes, reason))
    return finish(actor, experiment, "restarted", before, reason)


@transaction.atomic
def open_next_phase(*, actor: Actor, environment: Environment, pk: Any, moment: datetime, reason: str) -> Experiment:
    """Begin a new phase at `moment` with the same salt, so that every user keeps the variant.

    A pause continues in the new phase. A change of targeting opens a phase in its own transaction.
    """
    experiment = locked_experiment(environment, pk)
    require_status(experiment, "begin a phase", *Experiment.SERVED)
    before = experiment_resource(experiment)
    since = max(_in_milliseconds(moment), current_phase(experiment).started_at)
    close_phase(experiment, since)
    save_next_version(experiment)
    _open_phase(experiment, experiment.config, since, reason=reason)
    if experiment.status == Experiment.Status.PAUSED:
        phase = current_phase(experiment)
        phase.pauses = [[since.isoformat(), None]]
        phase.save(update_fields=["pauses"])
    return finish(actor, experiment, "phase_opened", before, reason)


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


def require_status(experiment: Experiment, verb: str, *statuses: str) -> None:
    if experiment.status not in statuses:
        raise Conflict(
            f"The experiment is {experiment.status}; only one that is {' or '.join(statuses)} can {verb}.",
            code="wrong_status",
            attr="status",
        )


def _restart_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(changes.keys() - _RESTART_FIELDS)
    if unknown:
        raise Invalid(
            "A restart may change allocation, audience and trafficPercent.", attr=unknown[0], code="unknown_field"
        )
    if changes.keys() >= {"allocation", "rollout"}:
        raise Invalid("Send the new split as allocation alone.", attr="rollout", code="ambiguous")
    return {"allocation" if name == "rollout" else name: value for name, value in changes.items()}


def _change_rollout(actor: Actor, experiment: Experiment, rollout: Any, reason: str) -> None:
    """Change the flag's rollout, which its experiment has locked until here."""
    where: dict[str, Any] = {"actor": actor, "environment": experiment.environment, "key": experiment.config.flag.key}
    set_experiment(**where, section=None)
    update_flag(**where, payload={"rollout": rollout}, version=None, reason=reason)
    experiment.config.refresh_from_db()


def now_in_milliseconds() -> datetime:
    return _in_milliseconds(timezone.now())


def _in_milliseconds(moment: datetime) -> datetime:
    """Cut to milliseconds, as events carry them: a phase must not begin just after an event of the same millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _moment(at: datetime | None) -> datetime:
    if at is not None and at > timezone.now():
        raise Invalid("A start can be dated back, not ahead; use startsAt.", attr="at", code="out_of_range")
    return now_in_milliseconds() if at is None else _in_milliseconds(at)


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
        weights=split_of(experiment),
        audience=experiment.audience,
        config_version=experiment.environment.config_version,
        tuned_users=tuned_users if first is None else first.tuned_users,
        definitions=definitions_of(experiment),
        reason=reason,
    )
    if not gate.is_trial():
        # The event store may have transactions of its own.
        open_phase(environment_id=experiment.environment_id, experiment=experiment.key, started_at=moment)


def close_phase(experiment: Experiment, moment: datetime) -> None:
    phase = current_phase(experiment)
    _end_pause(phase, moment)
    phase.ended_at = moment
    phase.save(update_fields=["pauses", "ended_at"])


def _end_pause(phase: Phase, moment: datetime) -> None:
    phase.pauses = [[since, until or moment.isoformat()] for since, until in phase.pauses]


def save_next_version(experiment: Experiment) -> None:
    experiment.version += 1
    experiment.save()


def finish(
    actor: Actor,
    experiment: Experiment,
    change: str,
    before: ExperimentResource,
    reason: str,
    *,
    evidence: Mapping[str, Any] | None = None,
) -> Experiment:
    """Announce and audit the change; the log keeps the `evidence` that a decision rests on."""
    saved = get_experiment(experiment.environment, experiment.pk)
    experiment_changed.send(sender=Experiment, experiment=saved, actor=actor, change=change)
    audit.services.record(
        actor=actor,
        action=f"experiment.{change}",
        at=saved.environment,
        key=saved.key,
        before=before,
        after=experiment_resource(saved) if evidence is None else {**experiment_resource(saved), "evidence": evidence},
        reason=reason,
    )
    return saved
