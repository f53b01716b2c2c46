"""Configuration from elsewhere: a flag copied between environments, an environment imported with a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from openflagship.engine import DecodeError, decode_flag, decode_segment
from openflagship.ids import uuid7

from audit.actors import Actor
from audit.services import is_same
from flags.documents import flag_about, flag_document, flag_resource
from flags.models import Flag, FlagConfig, Rule
from flags.selectors import configs, get_config
from flags.services import drafts, version_log
from flags.services.flags import archive_flag, commit_draft, insert_draft
from flags.services.layers import create_layer, update_layer
from flags.services.segments import create_segment, update_segment
from tenancy.errors import Conflict, Invalid, Problem, ServiceError
from tenancy.models import Environment

_SEGMENT_FIELDS: tuple[str, ...] = ("key", "name", "included", "excluded", "conditions")
_LAYER_FIELDS: tuple[str, ...] = ("key", "name", "holdoutPercent")
_DEFAULTS: dict[str, Any] = {
    "metadata": {},
    "enabled": False,
    "bucketBy": "userId",
    "prerequisites": [],
    "targets": [],
    "rules": [],
    "allocation": [],
}


@dataclass(slots=True)
class Report:
    """What an import did, or as a dry run would do; `skipped` names the fields that stood in the way."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)


def import_environment(
    *, actor: Actor, environment: Environment, data: Mapping[str, Any], is_dry_run: bool = False
) -> Report:
    """Import what `transfers.export_environment` gave: create what is missing, change what differs, delete nothing.

    Each thing goes in whole or is skipped with its problems; the others go in all the same. Raises Invalid where the
    document as a whole is none of ours.
    """
    lists = {name: _list_of(data, name) for name in ("segments", "layers", "flags")}
    report = Report()
    with transaction.atomic():
        version_log.lock_project(environment.project)
        for entity, items, put in (
            ("segment", lists["segments"], _put_segment),
            ("layer", lists["layers"], _put_layer),
            ("flag", _in_order(lists["flags"]), _put_flag),
        ):
            for item in items:
                _put_one(report, entity, item, partial(put, actor, environment))
        if is_dry_run:
            transaction.set_rollback(True)
    return report


def _list_of(data: Mapping[str, Any], name: str) -> list[Any]:
    items = data.get(name, [])
    if not isinstance(items, list):
        raise Invalid(f"Send {name} as a list.", attr=f"data.{name}", code="invalid_type")
    return items


def _put_one(report: Report, entity: str, item: Any, put: Callable[[Any], str]) -> None:
    key = item.get("key") if isinstance(item, dict) else None
    if not isinstance(key, str):
        report.skipped.append(
            {"entity": entity, "key": None, "problems": [_shown("key", "required", "It has no key.")]}
        )
        return
    try:
        with transaction.atomic():
            outcome = put(item)
    except DecodeError as error:
        problems = [_shown(found.path, found.code, found.message) for found in error.problems]
        report.skipped.append({"entity": entity, "key": key, "problems": problems})
    except ServiceError as error:
        problems = [_shown(found.attr, found.code, found.detail) for found in error.problems]
        report.skipped.append({"entity": entity, "key": key, "problems": problems})
    else:
        getattr(report, outcome).append(f"{entity} {key}")


def _shown(attr: str | None, code: str, detail: str) -> dict[str, Any]:
    return {"attr": attr, "code": code, "detail": detail}


def _in_order(items: list[Any]) -> list[Any]:
    """Put each flag after its prerequisites, as far as there is such an order."""
    waiting = {item["key"]: item for item in items if isinstance(item, dict) and isinstance(item.get("key"), str)}
    ordered = [item for item in items if not (isinstance(item, dict) and isinstance(item.get("key"), str))]
    while waiting:
        ready = [key for key, item in waiting.items() if not _asked_for(item) & (waiting.keys() - {key})]
        for key in ready or list(waiting):
            ordered.append(waiting.pop(key))
    return ordered


def _asked_for(item: Mapping[str, Any]) -> set[str]:
    listed = item.get("prerequisites")
    found = listed if isinstance(listed, list) else []
    return {str(one["flagKey"]) for one in found if isinstance(one, dict) and "flagKey" in one}


def _put_segment(actor: Actor, environment: Environment, item: dict[str, Any]) -> str:
    decode_segment(item)
    payload: dict[str, Any] = {name: item[name] for name in _SEGMENT_FIELDS if name in item}
    try:
        _, is_new = create_segment(actor=actor, environment=environment, payload=payload)
    except Conflict as error:
        current = error.extra.get("current")
        if current is None:
            raise
        update_segment(
            actor=actor,
            environment=environment,
            key=item["key"],
            payload=payload,
            version=current["version"],
            reason="imported",
        )
        return "updated"
    return "created" if is_new else "unchanged"


def _put_layer(actor: Actor, environment: Environment, item: dict[str, Any]) -> str:
    payload: dict[str, Any] = {name: item[name] for name in _LAYER_FIELDS if name in item}
    try:
        _, is_new = create_layer(actor=actor, environment=environment, payload=payload)
    except Conflict as error:
        current = error.extra.get("current")
        if current is None:
            raise
        update_layer(actor=actor, environment=environment, key=item["key"], payload=payload, version=current["version"])
        return "updated"
    return "created" if is_new else "unchanged"


def _put_flag(actor: Actor, environment: Environment, item: dict[str, Any]) -> str:
    environments = version_log.lock_project(environment.project)
    existing = configs(environment).filter(flag__key=item["key"]).first()
    document = _document_of(item, existing)
    decode_flag(document)
    is_archived = item.get("status") == "archived"
    if existing is None:
        flag = Flag(project=environment.project, key=item["key"], type=item["type"])
        config = FlagConfig(flag=flag, environment=environments[environment.pk])
        draft = drafts.Draft(flag, config, [])
        _apply(draft, item, document)
        insert_draft(actor=actor, draft=draft, environments=environments, action="flag.imported")
        if is_archived:
            archive_flag(actor=actor, environment=environment, key=flag.key, reason="imported as archived")
        return "created"
    if existing.flag.is_archived:
        if is_archived:
            return "unchanged"
        raise Conflict("It is archived here; restore it first.", code="flag_archived", attr="status")
    if existing.flag.type != item["type"]:
        raise Conflict(f"Its type here is {existing.flag.type}.", code="immutable", attr="type")
    is_changed = _overwrite(actor, environments, existing, item, document, reason="imported", action="flag.imported")
    if is_archived:
        archive_flag(actor=actor, environment=environment, key=item["key"], reason="imported as archived")
        return "updated"
    return "updated" if is_changed else "unchanged"


def _overwrite(
    actor: Actor,
    environments: Mapping[int, Environment],
    existing: FlagConfig,
    item: Mapping[str, Any],
    document: Mapping[str, Any],
    *,
    reason: str,
    action: str,
) -> bool:
    """Give the flag the document's configuration unless it has it already; return whether anything changed."""
    flag = existing.flag
    existing.environment = environments[existing.environment_id]
    before, there = flag_resource(existing), [flag_document(existing), flag_about(flag)]
    draft = drafts.Draft(flag, existing, [])
    split_before = drafts.split_of(existing)
    _apply(draft, item, document)
    wanted = [flag_document(existing, sorted(draft.rules, key=lambda rule: rule.priority)), flag_about(flag)]
    if is_same(wanted, there):
        return False
    drafts.refuse_split_change(draft, split_before)
    commit_draft(actor=actor, draft=draft, environments=environments, before=before, reason=reason, action=action)
    return True


def _apply(draft: drafts.Draft, item: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    flag = draft.flag
    flag.name = item.get("name") or flag.name or flag.key
    flag.description = item.get("description", flag.description)
    flag.tags = item.get("tags", flag.tags)
    drafts.restore(draft, document)


def _document_of(item: Mapping[str, Any], existing: FlagConfig | None) -> dict[str, Any]:
    """Return the flag's document; rules keep their ids unless another flag has them."""
    variants = item.get("variants")
    first = (
        variants[0].get("key") if isinstance(variants, list) and variants and isinstance(variants[0], dict) else None
    )
    document: dict[str, Any] = {"defaultVariant": first, "offVariant": first, "salt": item["key"], **_DEFAULTS}
    names = ("type", "variants", "defaultVariant", "offVariant", "salt", *_DEFAULTS)
    document |= {name: item[name] for name in names if name in item} | {"key": item["key"]}
    rules = document["rules"]
    if isinstance(rules, list):
        document["rules"] = _with_ids(rules, existing)
    return document


def _with_ids(rules: list[Any], existing: FlagConfig | None) -> list[Any]:
    """Name each rule by the id of the one it replaces, at its priority; else by its own, unless another flag has it."""
    there = {rule.priority: str(rule.pk) for rule in existing.rules.all()} if existing is not None else {}
    own = {str(rule.get("id")) for rule in rules if isinstance(rule, dict) and _is_uuid(rule.get("id"))}
    taken = {str(pk) for pk in Rule.objects.filter(pk__in=own).exclude(config=existing).values_list("pk", flat=True)}
    found: list[Any] = []
    for rule in rules:
        if not isinstance(rule, dict):
            found.append(rule)
            continue
        priority, wanted = rule.get("priority"), str(rule.get("id"))
        fallback = wanted if wanted in own - taken - set(there.values()) else str(uuid7())
        kept = there.get(priority, fallback) if isinstance(priority, int) else fallback
        found.append({"name": "", "conditions": [], **rule, "id": kept})
    return found


def _is_uuid(value: Any) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


@transaction.atomic
def copy_flag(*, actor: Actor, source: Environment, target: Environment, key: str, reason: str = "") -> FlagConfig:
    """Do in `target` what the flag does in `source`, another environment of the project, to the byte.

    The kill switch and the experiment of each stay its own. Nothing to change: nothing happens. Raises NotFound,
    Invalid, Conflict `rollout_conflict` or `flag_archived`.
    """
    if source.project_id != target.project_id or source.pk == target.pk:
        raise Invalid([Problem("to", "other_project", "Copy to another environment of the same project.")])
    environments = version_log.lock_project(source.project)
    from_config, to_config = get_config(source, key), get_config(target, key)
    if to_config.flag.is_archived:
        raise Conflict(f"{key!r} is archived; restore it before copying it.", code="flag_archived")
    document = flag_document(from_config)
    document["rules"] = _with_ids(document["rules"], to_config)
    _overwrite(
        actor,
        environments,
        to_config,
        {},
        document,
        reason=reason or f"copied from {source.key}",
        action="flag.copied",
    )
    return get_config(target, key)
