"""Reads of metrics, experiments and results. Environments and projects come from `tenancy.access`."""

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast

from audit.models import Entry
from experiments.definitions import definitions_in, is_same_definition, metric_resource
from experiments.models import Experiment, ExperimentResult, Metric, Phase
from experiments.resources import MetricResource, OlderDefinition
from tenancy.errors import NotFound
from tenancy.models import Environment, Project


def environment_at(path: str) -> Environment:
    """Find an environment by `organization/project/environment`, for commands. Raises NotFound."""
    organization, _, rest = path.partition("/")
    project, _, key = rest.partition("/")
    found = (
        Environment.objects.select_related("project__organization")
        .filter(project__organization__slug=organization, project__key=project, key=key)
        .first()
    )
    if found is None:
        raise NotFound(f"There is no environment {path!r}; give organization/project/environment.", attr="environment")
    return found


def metrics(project: Project) -> QuerySet[Metric]:
    return Metric.objects.filter(project=project)


def event_names(environment_id: int, keys: Collection[str]) -> dict[str, str]:
    """The event name that each key stands for: a metric's own event, or else the name of an event that one counts."""
    is_counted = Q(event_name__in=keys) | Q(denominator_event_name__in=keys)
    rows = Metric.objects.filter(Q(key__in=keys) | is_counted, project__environments=environment_id)
    by_key, counted = {}, set[str]()
    for key, event_name, denominator in rows.values_list("key", "event_name", "denominator_event_name"):
        by_key[key] = event_name
        counted |= {event_name, denominator}
    return {key: by_key.get(key, key) for key in keys if key in by_key or key in counted}


def get_metric(project: Project, key: str) -> Metric:
    """Raises NotFound."""
    metric = metrics(project).filter(key=key).first()
    if metric is None:
        raise NotFound(f"There is no metric {key!r} in {project.key}.", attr="metric")
    return metric


def phases_of(metric: Metric) -> QuerySet[Phase]:
    """The phases of experiments that the metric is a part of."""
    parts = Q(experiment__primary_metric=metric) | Q(experiment__metrics__metric=metric)
    return Phase.objects.filter(parts).distinct().select_related("experiment")


def experiments_by(metric: Metric) -> QuerySet[Experiment]:
    """The experiments that count by the metric, whichever way."""
    primary = Experiment.objects.filter(primary_metric=metric)
    return primary.union(Experiment.objects.filter(metrics__metric=metric))


def experiments_with_older(metric: Metric, environments: Iterable[Environment]) -> list[OlderDefinition]:
    """The running and paused experiments there whose present phase counts by another definition of the metric."""
    now = metric_resource(metric)
    served = phases_of(metric).filter(
        ended_at__isnull=True,
        experiment__status__in=Experiment.SERVED,
        experiment__environment__in=list(environments),
    )
    return [
        {"id": phase.experiment.key, "name": phase.experiment.name, "phase": phase.number}
        for phase in served.order_by("experiment__name")
        if not all(is_same_definition(kept, now) for kept in _kept(phase) if kept["key"] == metric.key)
    ]


def _kept(phase: Phase) -> Iterable[MetricResource]:
    return definitions_in(phase.definitions) if phase.definitions else ()


def with_parts(found: QuerySet[Experiment]) -> QuerySet[Experiment]:
    """Fetch what resources and results need with them. It takes three queries for any number of experiments."""
    return found.select_related(
        "config__flag", "layer", "primary_metric", "environment__project__organization"
    ).prefetch_related("metrics__metric", "phases")


def experiments(
    environment: Environment, *, status: str | None = None, flag_key: str | None = None, search: str | None = None
) -> QuerySet[Experiment]:
    """The environment's experiments, newest first."""
    found = with_parts(Experiment.objects.filter(environment=environment))
    if status:
        found = found.filter(status=status)
    if flag_key:
        found = found.filter(config__flag__key=flag_key)
    if search:
        found = found.filter(Q(name__icontains=search) | Q(slug__icontains=search))
    return found


def get_experiment(environment: Environment, pk: str | UUID) -> Experiment:
    """The experiment with this id or key. Raises NotFound."""
    wanted = _uuid(pk)
    named = Q(slug=str(pk)) & ~Q(slug="")
    experiment = experiments(environment).filter(Q(pk=wanted) | named if wanted else named).first()
    if experiment is None:
        raise NotFound(f"There is no experiment {pk} in {environment.key}.", attr="id")
    return experiment


def running_experiments() -> QuerySet[Experiment]:
    """Every running experiment of the installation, for the scheduled jobs."""
    return with_parts(Experiment.objects.filter(status=Experiment.Status.RUNNING))


def wanted_attributes() -> dict[tuple[int, str], list[str]]:
    """The attributes that running and paused experiments store with their exposures, by environment and key."""
    rows = Experiment.objects.filter(status__in=Experiment.SERVED).exclude(breakdowns=[])
    return {
        (environment_id, str(pk)): names
        for environment_id, pk, names in rows.values_list("environment_id", "pk", "breakdowns")
    }


def stored_results(experiment: Experiment) -> QuerySet[ExperimentResult]:
    """The time series of stored results, newest first."""
    return ExperimentResult.objects.filter(experiment=experiment).select_related("phase")


def get_stored_result(experiment: Experiment, pk: str | UUID) -> ExperimentResult:
    """Raises NotFound, also for text that is no id."""
    wanted = _uuid(pk)
    row = stored_results(experiment).filter(pk=wanted).first() if wanted else None
    if row is None:
        raise NotFound(f"The experiment has no stored result {pk}.", attr="id")
    return row


def latest_results(experiment: Experiment) -> ExperimentResult | None:
    return stored_results(experiment).first()


def _uuid(text: str | UUID) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def experiment_tags(entry: Entry) -> list[str]:
    """The present tags of the flag of the experiment that an audit row is about; none where it is gone."""
    rows = Experiment.objects.filter(environment__project__organization=entry.organization_id)
    named = rows.annotate(called=Cast("id", CharField())).filter(called=entry.entity_key)
    return named.values_list("config__flag__tags", flat=True).first() or []
