"""Experiments as the API answers them, and the section of a flag's document for an experiment."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openflagship.engine import buckets_by_variant

from experiments.analysis import results_of
from experiments.models import Experiment, ExperimentMetric, ExperimentResult
from experiments.payloads import RatioSummary, StoredResultPoint
from experiments.resources import (
    AnalysisResource,
    DecisionResource,
    ExperimentResource,
    ExploratoryResource,
    GuardrailResource,
    ShareResource,
)
from flags.documents import percent_of


def experiment_resource(experiment: Experiment) -> ExperimentResource:
    """The experiment as the API answers it."""
    metrics = list(experiment.metrics.all())
    phases = list(experiment.phases.all())
    analysis: AnalysisResource = {
        "method": experiment.method,
        "alpha": experiment.alpha,
        "correction": experiment.correction,
        "cuped": experiment.is_cuped,
        "plannedUsers": experiment.planned_users,
    }
    if experiment.winsorize_percent is not None:
        analysis["winsorizePercent"] = experiment.winsorize_percent
    if experiment.minimum_effect is not None:
        analysis["minimumEffect"] = experiment.minimum_effect
    if experiment.lift_prior_sd is not None:
        analysis["liftPriorStandardDeviation"] = experiment.lift_prior_sd
    explored: list[ExploratoryResource] = [
        {"metric": use.metric.key, "role": use.role, "since": use.exploratory_since}
        for use in metrics
        if use.exploratory_since is not None
    ]
    decision: DecisionResource | None = None
    if experiment.decision:
        decision = {"decision": experiment.decision, "variant": experiment.shipped_variant or None}
        if experiment.shipped_to == Experiment.Scope.AUDIENCE:
            decision["to"] = experiment.shipped_to
    resource: ExperimentResource = {
        "id": experiment.key,
        "key": experiment.slug or experiment.key,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "flagKey": experiment.config.flag.key,
        "controlVariant": experiment.control_variant,
        "layer": experiment.layer.key if experiment.layer else None,
        "trafficPercent": percent_of(experiment.traffic_bp),
        "audience": experiment.audience,
        "allocation": shares_of(split_of(experiment)) if experiment.owns_split else None,
        "priority": experiment.priority,
        "primaryMetric": experiment.primary_metric.key,
        "secondaryMetrics": secondary_keys(metrics),
        "guardrails": guardrail_resources(metrics),
        "analysis": analysis,
        "breakdowns": experiment.breakdowns,
        "autoPauseOnSrm": experiment.auto_pause_on_srm,
        "status": experiment.status,
        "phase": phases[-1].number if phases else None,
        "decision": decision,
        "startsAt": experiment.starts_at,
        "endsAt": experiment.ends_at,
        "startedAt": experiment.started_at,
        "endedAt": experiment.ended_at,
        "version": experiment.version,
        "createdAt": experiment.created_at,
        "updatedAt": experiment.updated_at,
    }
    if explored:
        resource["exploratory"] = explored
    return resource


def secondary_keys(uses: Iterable[ExperimentMetric]) -> list[str]:
    return [use.metric.key for use in uses if use.role == ExperimentMetric.Role.SECONDARY]


def guardrail_resources(uses: Iterable[ExperimentMetric]) -> list[GuardrailResource]:
    return [
        {"metric": use.metric.key, "marginPercent": use.margin_percent, "action": use.action}
        for use in uses
        if use.role == ExperimentMetric.Role.GUARDRAIL
    ]


def stored_result_resource(row: ExperimentResult) -> StoredResultPoint:
    """One point of the time series: the origin of a result, and the figures that charts show over time."""
    payload = results_of(row)
    ratio = payload["srm"]
    shown: RatioSummary = {
        "chiSquare": ratio["chiSquare"],
        "pValue": ratio["pValue"],
        "warning": ratio["warning"],
        "alarm": ratio["alarm"],
        "observed": ratio["observed"],
    }
    return {
        "id": str(row.pk),
        "phase": row.phase.number,
        "since": row.since,
        "until": row.until,
        "watermark": row.watermark,
        "configVersions": row.config_versions,
        "computedAt": row.computed_at,
        "durationMs": row.duration_ms,
        "codeVersion": row.code_version,
        "digest": row.digest,
        "final": row.is_final,
        "intact": payload.get("intact", True),
        "comparisons": [item for item in payload["comparisons"] if item["role"] == "primary"],
        "srm": shown,
        "recommendation": payload["recommendation"],
    }


def experiment_section(experiment: Experiment, ranges: Sequence[Sequence[int]] | None = None) -> dict[str, Any]:
    """The part of the flag's document that evaluators read while the experiment is running or paused.

    `ranges` are those of a shared layer. An experiment in a layer of its own takes the lowest buckets.
    """
    layer = experiment.layer
    section: dict[str, Any] = {
        "id": experiment.key,
        "status": experiment.status,
        "layer": {"key": layer.key, "salt": layer.salt} if layer else {"key": None, "salt": experiment.layer_salt},
        "ranges": [list(item) for item in ranges] if ranges else [[0, experiment.traffic_bp]],
        "controlVariant": experiment.control_variant,
        "audience": experiment.audience,
    }
    # Absent is not the same as empty: without a split of its own the flag's allocation splits the users.
    if experiment.allocation is not None:
        section["allocation"] = experiment.allocation
    if experiment.priority is not None:
        section["priority"] = experiment.priority
    return section


def shares_of(weights: Mapping[str, int]) -> list[ShareResource]:
    """Basis points by variant as the API shows shares; variants without one are left out."""
    return [{"variant": key, "percent": percent_of(weight)} for key, weight in weights.items() if weight]


def split_of(experiment: Experiment) -> dict[str, int]:
    """Basis points of each variant of the flag. The control variant gets the buckets that no range covers.

    They are the experiment's own, or the flag's where it was started before experiments owned their split.
    """
    config, control = experiment.config, experiment.control_variant
    weights = {variant["key"]: 0 for variant in config.flag.variants}
    weights |= buckets_by_variant(config.allocation if experiment.allocation is None else experiment.allocation)
    weights[control] = weights.get(control, 0) + 10_000 - sum(weights.values())
    return weights
