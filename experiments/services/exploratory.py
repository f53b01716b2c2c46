"""Metrics that are added while an experiment runs: they are shown as exploratory, and decide nothing."""

from collections.abc import Sequence
from datetime import datetime

from experiments.definitions import definitions_in, definitions_of
from experiments.models import Experiment, ExperimentMetric, Phase
from experiments.resources import PhaseDefinitions
from tenancy.errors import Conflict

_ROLE = ExperimentMetric.Role
_FIELDS = {_ROLE.SECONDARY: "secondaryMetrics", _ROLE.GUARDRAIL: "guardrails"}


def mark_added(experiment: Experiment, uses: Sequence[ExperimentMetric], moment: datetime) -> list[ExperimentMetric]:
    """Mark the uses that are new to a started experiment, and return them. What was planned must be as it was.

    Raises Conflict `rollout_conflict`.
    """
    planned = {(use.role, use.metric.key): use for use in ExperimentMetric.objects.filter(experiment=experiment)}
    wanted = {(use.role, use.metric.key): use for use in uses}
    for place, use in planned.items():
        field = _FIELDS[_ROLE(use.role)]
        if place not in wanted:
            raise _fixed(field, f"{use.metric.key} stays: what the experiment was started with, and looked at, is kept")
        if (use.margin_percent, use.action) != (wanted[place].margin_percent, wanted[place].action):
            raise _fixed(field, f"The margin and the action of {use.metric.key} are those from before the start")
        wanted[place].exploratory_since = use.exploratory_since
    added = [use for place, use in wanted.items() if place not in planned]
    for use in added:
        field = _FIELDS[_ROLE(use.role)]
        if experiment.status == Experiment.Status.COMPLETED:
            raise _fixed(field, "The experiment is completed")
        if use.role == _ROLE.GUARDRAIL and use.action != ExperimentMetric.Action.WARN:
            raise Conflict(
                f"{use.metric.key} was not planned, so as a guardrail it can only warn: send the action warn.",
                code="rollout_conflict",
                attr=field,
            )
        use.exploratory_since = moment
    return added


def keep_in_phase(experiment: Experiment, added: Sequence[ExperimentMetric]) -> None:
    """Add the metrics' definitions to the open phase; a metric that it has already keeps its definition."""
    phase = Phase.objects.select_for_update().get(experiment=experiment, ended_at__isnull=True)
    now = definitions_of(experiment)
    kept: PhaseDefinitions = phase.definitions or now
    known = {definition["key"]: definition for definition in definitions_in(kept)}
    keys = {(use.role, use.metric.key) for use in added}
    secondary = [item for item in now["secondaryMetrics"] if (_ROLE.SECONDARY, item["metric"]["key"]) in keys]
    guardrails = [item for item in now["guardrails"] if (_ROLE.GUARDRAIL, item["metric"]["key"]) in keys]
    for item in (*secondary, *guardrails):
        item["metric"] = known.get(item["metric"]["key"], item["metric"])
    if phase.definitions:
        kept["secondaryMetrics"] += secondary
        kept["guardrails"] += guardrails
    phase.definitions = kept
    phase.save(update_fields=["definitions"])


def plan_all(experiment: Experiment) -> None:
    """A restart assigns everybody anew, so that what was exploratory is planned for the users to come."""
    ExperimentMetric.objects.filter(experiment=experiment, exploratory_since__isnull=False).update(
        exploratory_since=None
    )
    experiment.refresh_from_db(fields=["metrics"])


def _fixed(field: str, why: str) -> Conflict:
    remedy = "Metrics may be added while it runs; for other changes complete it and create another."
    return Conflict(f"{why}. {remedy}", code="rollout_conflict", attr=field)
