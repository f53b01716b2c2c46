"""Creating, changing and deleting metrics."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

import audit.services
from audit.actors import Actor
from experiments.analysis.metric_types import METRIC_TYPES, metric_type
from experiments.definitions import METRIC_COLUMNS, definitions_of, metric_resource
from experiments.models import Metric
from experiments.resources import MetricResource
from experiments.selectors import experiments_by, get_metric, phases_of
from flags.services import gate
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment, Project
from tenancy.refusals import refuse_read_only, refuse_stale, unknown_fields
from tenancy.services import clean

_TEXTS = ("denominator_event_name", "value_property")
# Columns that decide what a figure means.
_MEANING = tuple(column for name, column in METRIC_COLUMNS.items() if name != "name")
_READ_ONLY = {"key", "version", "olderDefinitionIn"}


@transaction.atomic
def create_metric(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> tuple[Metric, bool]:
    """Create a metric in the environment's project. Return it and whether it is new: equal content is no new metric.

    Raises Invalid, or Conflict `key_exists` where the key has another content.
    """
    project = environment.project
    metric = Metric(project=project, key=payload.get("key", ""))
    _apply(metric, payload, is_partial=False)
    existing = Metric.objects.filter(project=project, key=metric.key).first()
    if existing is not None:
        return _same_or_conflict(existing, metric), False
    try:
        with transaction.atomic():
            metric.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"There is already a metric {metric.key!r}.", code="key_exists", attr="key") from error
    audit.services.record(
        actor=actor,
        action="metric.created",
        at=environment.project,
        key=metric.key,
        after=metric_resource(metric),
    )
    return metric, True


def _same_or_conflict(existing: Metric, wanted: Metric) -> Metric:
    there, sent = metric_resource(existing), metric_resource(wanted)
    if {**there, "version": 0} != {**sent, "version": 0}:
        raise Conflict(
            f"There is already a metric {existing.key!r} with other content.",
            code="key_exists",
            attr="key",
            current=there,
        )
    return existing


@gate.act("metric.update")
@transaction.atomic
def update_metric(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    payload: Mapping[str, Any],
    version: int | None,
    is_partial: bool = True,
) -> Metric:
    """Change a metric. Phases that have begun keep the definition that they began with.

    Raises Invalid, NotFound, and Conflict `version_conflict`.
    """
    metric = _locked(environment.project, key)
    before = metric_resource(metric)
    meaning = [getattr(metric, field) for field in _MEANING]
    refuse_stale("metric", before, version)
    if payload.get("key", key) != key:
        raise Invalid("The key of a metric never changes; create another metric.", attr="key", code="immutable")
    refuse_read_only(payload, before, {"olderDefinitionIn": ""})
    _apply(metric, payload, is_partial=is_partial)
    if [getattr(metric, field) for field in _MEANING] != meaning:
        _keep_definitions(metric)
    metric.version += 1
    metric.save()
    _ask(actor, metric, before)
    audit.services.record(
        actor=actor,
        action="metric.updated",
        at=environment.project,
        key=metric.key,
        before=before,
        after=metric_resource(metric),
    )
    return metric


@transaction.atomic
def delete_metric(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> None:
    """Delete a metric. Raises Conflict `in_use` with the names of the experiments that use it."""
    metric = _locked(environment.project, key)
    _refuse_in_use(metric)
    before = metric_resource(metric)
    metric.delete()
    audit.services.record(
        actor=actor,
        action="metric.deleted",
        at=environment.project,
        key=metric.key,
        before=before,
        reason=reason,
    )


def _ask(actor: Actor, metric: Metric, before: MetricResource) -> None:
    """Ask the gate of each environment where a running or paused experiment counts by the metric."""
    served = {experiment.environment_id for experiment in experiments_by(metric) if experiment.is_served}
    for environment in Environment.objects.filter(pk__in=served).select_related("project__organization").order_by("pk"):
        piece = gate.Piece(
            environment, "metric", metric.key, metric_resource(metric), before=before, since=environment.config_version
        )
        gate.ask(actor=actor, pieces=[piece])


def _locked(project: Project, key: str) -> Metric:
    get_metric(project, key)
    return Metric.objects.select_for_update().get(project=project, key=key)


def _apply(metric: Metric, payload: Mapping[str, Any], *, is_partial: bool) -> None:
    problems = unknown_fields(payload, METRIC_COLUMNS.keys() | _READ_ONLY)
    blank = Metric()
    for name, field in METRIC_COLUMNS.items():
        if name in payload:
            value = payload[name]
            setattr(metric, field, "" if value is None and field in _TEXTS else value)
        elif not is_partial:
            setattr(metric, field, getattr(blank, field))
    metric.name = metric.name or metric.key
    if metric.type in METRIC_TYPES:
        problems += metric_type(metric).problems()
    else:
        problems.append(Problem("type", "invalid_choice", f"Choose one of: {', '.join(METRIC_TYPES)}."))
    if metric.cap is not None and metric.cap <= 0:
        problems.append(Problem("cap", "out_of_range", "Give a cap above 0, or none."))
    if metric.window_hours is not None and metric.window_hours <= 0:
        problems.append(Problem("windowHours", "out_of_range", "Give at least one hour, or none for 7 days."))
    if problems:
        raise Invalid(problems)
    clean(metric)


def _keep_definitions(metric: Metric) -> None:
    """Copy the present definitions into phases that have none: a process of an older release opened them."""
    for phase in phases_of(metric).filter(definitions__isnull=True):
        phase.definitions = definitions_of(phase.experiment)
        phase.save(update_fields=["definitions"])


def _refuse_in_use(metric: Metric) -> None:
    names = sorted({experiment.name for experiment in experiments_by(metric)})
    if names:
        raise Conflict(
            f"{metric.key!r} is used by: {', '.join(names)}; delete or change those first.", code="in_use", attr="key"
        )
