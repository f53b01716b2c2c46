"""The three shapes of a flag: rows, the document that evaluators compile, and the resource that the API shows.

The API shows percentages with two decimals. Everything else works with ranges of 10,000 buckets.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from openflagship.engine import BUCKETS, buckets_by_variant, deal, reallocate

from flags.fields import DOCUMENT_FIELDS, EXPORTED_FIELDS, PRESENTATION_FIELDS, RESOURCE_FIELDS
from flags.models import Change, Flag, FlagConfig, Layer, Rule, Segment
from tenancy.errors import Problem
from tenancy.models import Environment, Exposures

Ranges = list[list[Any]]
CONTRACT_VERSION = 1


def environment_header(environment: Environment) -> dict[str, Any]:
    """The `environment` member of a snapshot."""
    return {
        "organization": environment.project.organization.slug,
        "project": environment.project.key,
        "key": environment.key,
        "salt": environment.salt,
    }


def flag_document(config: FlagConfig, rules: Iterable[Rule] | None = None) -> dict[str, Any]:
    """Return the flag's part of the snapshot. Give `rules` if they are not saved yet."""
    listed = config.rules.all() if rules is None else rules
    worked_out = {"rules": [rule_document(rule) for rule in listed]}
    document = {field.name: field.read(config) if field.column else worked_out[field.name] for field in DOCUMENT_FIELDS}
    if (config.exposures or config.environment.exposures) == Exposures.EXPERIMENTS:
        document["exposures"] = Exposures.EXPERIMENTS.value
    return document


def flag_presentation(flag: Flag) -> dict[str, Any]:
    """Return what no evaluator needs, which is stored beside each step of the version log."""
    return {field.name: field.read_shared(flag) for field in PRESENTATION_FIELDS}


def rule_document(rule: Rule) -> dict[str, Any]:
    served = {"variant": rule.variant} if rule.variant else {"allocation": rule.allocation}
    return {**_rule_head(rule), **served}


def _rule_head(rule: Rule) -> dict[str, Any]:
    return {"id": str(rule.pk), "priority": rule.priority, "name": rule.name, "conditions": rule.conditions}


def flag_resource(config: FlagConfig, rules: Iterable[Rule] | None = None) -> dict[str, Any]:
    """Return the flag as one environment sees it, in the form of the API. Give `rules` if they are not saved yet."""
    flag = config.flag
    worked_out = {
        "status": status_of(is_archived=flag.is_archived),
        "rules": [_rule_resource(rule) for rule in (config.rules.all() if rules is None else rules)],
        "rollout": rollout_of(config.allocation),
        "createdAt": flag.created_at,
        "updatedAt": max(flag.updated_at, config.updated_at) if config.updated_at else None,
    }
    return {field.name: field.read(config) if field.column else worked_out[field.name] for field in RESOURCE_FIELDS}


def flag_export(config: FlagConfig) -> dict[str, Any]:
    """Return the flag as an export has it, with its ranges and its salt."""
    worked_out = {
        "status": status_of(is_archived=config.flag.is_archived),
        "rules": [rule_document(rule) for rule in config.rules.all()],
    }
    columns = {field.name: field.read(config) for field in EXPORTED_FIELDS if field.column}
    return columns | worked_out


def unit_names(bucket_by: str | Sequence[str]) -> list[str]:
    """Return the attributes of a `bucketBy`, the first to be asked first."""
    return [bucket_by] if isinstance(bucket_by, str) else list(bucket_by)


def status_of(*, is_archived: bool) -> str:
    return "archived" if is_archived else "active"


def past_resource(flag: Flag, step: Change, document: dict[str, Any], *, is_archived: bool) -> dict[str, Any]:
    """Return a step of the version log in the form of `flag_resource`."""
    worked_out = {
        "key": flag.key,
        "status": status_of(is_archived=is_archived),
        "rules": [_past_rule(rule) for rule in document["rules"]],
        "rollout": rollout_of(document["allocation"]),
        "createdAt": flag.created_at,
        "updatedAt": step.created_at,
    }
    stored = {**document, **step.presentation, **worked_out}
    return {field.name: field.find(stored, flag) for field in RESOURCE_FIELDS}


def _past_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: rule[name] for name in ("id", "priority", "name", "conditions")}
    served = {"variant": rule["variant"]} if "variant" in rule else {"rollout": rollout_of(rule["allocation"])}
    return shown | served


def _rule_resource(rule: Rule) -> dict[str, Any]:
    served = {"variant": rule.variant} if rule.variant else {"rollout": rollout_of(rule.allocation)}
    return {**_rule_head(rule), **served}


def rollout_of(allocation: Ranges) -> list[dict[str, Any]]:
    """Return the shares of ranges as `[{variant, percent}]`, in the order in which the variants first appear."""
    shares = buckets_by_variant(allocation)
    return [{"variant": variant, "percent": percent_of(buckets)} for variant, buckets in shares.items()]


def percent_of(buckets: int) -> int | float:
    return buckets // 100 if buckets % 100 == 0 else buckets / 100


def weights_of(
    rollout: list[dict[str, Any]], *, variants: list[str], attr: str
) -> tuple[list[tuple[str, int]], list[Problem]]:
    """Turn `[{variant, percent}]` into basis points, in the order of the flag's variants. Return the problems too."""
    weights: dict[str, int] = {}
    problems: list[Problem] = []
    for index, share in enumerate(rollout):
        variant, percent = share.get("variant"), share.get("percent")
        if variant not in variants:
            problems.append(
                Problem(
                    f"{attr}[{index}].variant",
                    "unknown_variant",
                    f"The flag has no variant {variant!r}; use one of: {', '.join(variants)}.",
                )
            )
            continue
        if variant in weights:
            problems.append(
                Problem(f"{attr}[{index}].variant", "duplicate", f"{variant!r} appears twice; give it one share.")
            )
            continue
        basis_points = basis_points_of(percent)
        if basis_points is None:
            problems.append(
                Problem(
                    f"{attr}[{index}].percent",
                    "invalid_percent",
                    "Give a number from 0 to 100 with at most two decimals.",
                )
            )
            continue
        weights[variant] = basis_points
    if not problems and sum(weights.values()) > 10_000:
        total = percent_of(sum(weights.values()))
        problems.append(
            Problem(attr, "weights_exceed_100", f"The shares sum to {total} %; bring them to 100 % or less.")
        )
    return [(variant, weights[variant]) for variant in variants if weights.get(variant)], problems


def basis_points_of(percent: Any) -> int | None:
    """A percentage of at most two decimals in basis points; None for whatever is none."""
    if isinstance(percent, bool) or not isinstance(percent, (int, float, Decimal)):
        return None
    try:
        exact = Decimal(str(percent)) * 100
    except InvalidOperation:
        return None
    if not exact.is_finite() or not 0 <= exact <= 10_000 or exact != exact.to_integral_value():
        return None
    return int(exact)


def allocate(before: Ranges, weights: list[tuple[str, int]]) -> Ranges:
    """Turn weights into ranges. Where there were ranges before, the fewest buckets move."""
    after = reallocate(before, weights) if before else deal(weights)
    return [[start, end, variant] for start, end, variant in after]


def segment_document(segment: Segment) -> dict[str, Any]:
    """Return the segment's part of the snapshot."""
    return {
        "key": segment.key,
        "name": segment.name,
        "included": segment.included,
        "excluded": segment.excluded,
        "conditions": segment.conditions,
        "version": segment.version,
    }


def segment_resource(segment: Segment) -> dict[str, Any]:
    return {**segment_document(segment), "createdAt": segment.created_at, "updatedAt": segment.updated_at}


def layer_resource(layer: Layer) -> dict[str, Any]:
    """Return the layer with an entry for each range of an experiment. No experiment may have the range `holdout`."""
    slots = sorted(
        (slot for slot in layer.slots.all() if slot.experiment_id is not None), key=lambda slot: slot.buckets.lower
    )
    return {
        "key": layer.key,
        "name": layer.name,
        "salt": layer.salt,
        "experiments": [
            {"id": str(slot.experiment_id), "start": slot.buckets.lower, "end": slot.buckets.upper} for slot in slots
        ],
        "holdoutPercent": percent_of(layer.holdout_buckets),
        "holdout": {"start": BUCKETS - layer.holdout_buckets, "end": BUCKETS} if layer.holdout_buckets else None,
        "version": layer.version,
        "createdAt": layer.created_at,
        "updatedAt": layer.updated_at,
    }
