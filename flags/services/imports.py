"""Importing a whole environment: each flag, segment and layer goes in whole, or the report says why not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import transaction
from openflagship.engine import CompiledEnvironment, DecodeError, decode_flag, decode_segment, impact

from audit.actors import Actor
from audit.services import diff
from flags.fields import RESTORED_FIELDS, defaults_of
from flags.models import Flag, FlagConfig
from flags.selectors import configs
from flags.services import drafts, gate, layers, segments, version_log
from flags.services.archiving import archive_flag
from flags.services.copying import apply_elsewhere, overwrite, with_ids
from flags.services.flags import insert_draft
from flags.versions.loading import load_document
from tenancy import access
from tenancy.errors import Conflict, Invalid, ServiceError
from tenancy.models import Environment


@dataclass(slots=True)
class ImportReport:
    """What an import did, or would do in a dry run. `skipped` names the fields that prevented an import."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)


Put = Callable[..., str]
# What the apps above import, by its name in the document: what each is called, and how one of them is put in.
_parts: dict[str, tuple[str, Put]] = {}


def register_part(name: str, entity: str, put: Put) -> None:
    """`put(actor, environment, item, keeps_existing=…)` returns `created`, `updated`, `unchanged` or `kept`.

    Each item has a `key`. It raises what services raise.
    """
    _parts[name] = (entity, put)


@gate.act("environment.import")
def import_environment(
    *,
    actor: Actor,
    environment: Environment,
    data: Mapping[str, Any],
    is_dry_run: bool = False,
    keeps_existing: bool = False,
    version: int | None = None,
    compared: dict[str, tuple[Any, Any]] | None = None,
) -> ImportReport:
    """Import what `export_environment` gave: create what is missing, change what differs, delete nothing.

    Each flag, segment and layer is imported as a whole, or skipped with its problems. With `keeps_existing` what is
    there stays as it is. The report says of each change what differs, and for which share of the users. `version` is
    the environment's that somebody looked at, if that is known. `compared` is filled with the documents, before and
    after, of each flag that changes. Raises Invalid if the document is not an export of FlagShip, or Conflict
    `version_conflict`.
    """
    lists = {name: _list_of(data, name) for name in ("segments", "layers", "flags", *_parts)}
    report = ImportReport()
    lists["flags"] = _with_known_owners(environment, lists["flags"], report)
    with gate.trial() if is_dry_run else transaction.atomic(), gate.together(actor):
        places = version_log.lock_project(environment.project)
        before = load_document(environment.pk)
        if version not in {None, places[environment.pk].config_version}:
            detail = "The environment was changed since this page was opened. Look at what the import changes now."
            raise Conflict(detail, code="version_conflict")
        for entity, items, put in (
            ("segment", lists["segments"], _put_segment),
            ("layer", lists["layers"], _put_layer),
            ("flag", _in_order(lists["flags"]), _put_flag),
        ):
            there = _keys_of(environment, entity) if keeps_existing else frozenset()
            for item in items:
                _put_one(report, entity, item, partial(put, actor, environment), there)
        for name, (entity, put_part) in _parts.items():
            for item in lists[name]:
                put = partial(put_part, actor, environment, keeps_existing=keeps_existing)
                _put_one(report, entity, item, put, frozenset())
        if report.updated:
            after = load_document(environment.pk) or {}
            report.changes = _changes(report.updated, before or {}, after)
            if compared is not None:
                old, new = ((document or {}).get("flags", {}) for document in (before, after))
                keys = [change["key"] for change in report.changes if change["entity"] == "flag"]
                compared |= {key: (old[key], new[key]) for key in keys if key in old and key in new}
    return report


def _with_known_owners(environment: Environment, flags: list[Any], report: ImportReport) -> list[Any]:
    """Leave out owners who are nobody here, and say so: the flag is imported all the same."""
    people = set(access.people_of(environment.project).values_list("username", flat=True))
    known = []
    for item in flags:
        if isinstance(item, dict) and item.get("owner") is not None and str(item["owner"]) not in people:
            detail = f"Its owner {item['owner']!r} has no role in this project and was left out."
            report.notes.append({"entity": "flag", "key": str(item.get("key")), "detail": detail})
            known.append({name: value for name, value in item.items() if name != "owner"})
        else:
            known.append(item)
    return known


def _keys_of(environment: Environment, entity: str) -> frozenset[str]:
    if entity == "flag":
        return frozenset(configs(environment).values_list("flag__key", flat=True))
    rows = environment.segments if entity == "segment" else environment.layers
    return frozenset(rows.values_list("key", flat=True))


def _changes(updated: list[str], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs in each flag and segment that was there, and of a flag the share of users who change variant.

    The share is exact for `basis` "everyone". For "undecided" it is that of the users whom no target or rule decides.
    """
    old, new = CompiledEnvironment.from_document(before), CompiledEnvironment.from_document(after)
    found = []
    for name in updated:
        entity, _, key = name.partition(" ")
        if any(name.startswith(f"{noun} ") for noun, _ in _parts.values()):
            continue
        was, now = (document.get(f"{entity}s", {}).get(key) for document in (before, after))
        differences = [change for change in diff(was or {}, now or {}) if change["path"] != "version"]
        change: dict[str, Any] = {
            "entity": entity,
            "key": key,
            "changes": differences,
            "movedPercent": None,
            "basis": None,
        }
        if entity == "flag" and was and now:
            moved = impact(old, new, key=key)
            change |= {"movedPercent": round(100 * moved.changed, 2), "basis": moved.basis}
        found.append(change)
    return found


def _list_of(data: Mapping[str, Any], name: str) -> list[Any]:
    items = data.get(name, [])
    if not isinstance(items, list):
        raise Invalid(f"Send {name} as a list.", attr=f"data.{name}", code="invalid_type")
    return items


def _put_one(report: ImportReport, entity: str, item: Any, put: Callable[[Any], str], there: frozenset[str]) -> None:
    key = item.get("key") if isinstance(item, dict) else None
    if not isinstance(key, str):
        report.skipped.append(
            {"entity": entity, "key": None, "problems": [_shown("key", "required", "It has no key.")]}
        )
        return
    if key in there:
        report.kept.append(f"{entity} {key}")
        return
    try:
        with gate.savepoint():
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
    """Put each flag after its prerequisites, unless they wait for each other."""
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
    payload: dict[str, Any] = {name: item[name] for name in segments.FIELDS if name in item}
    try:
        _, is_new = segments.create_segment(actor=actor, environment=environment, payload=payload)
    except Conflict as error:
        current = error.extra.get("current")
        if current is None:
            raise
        segments.update_segment(
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
    payload: dict[str, Any] = {name: item[name] for name in layers.FIELDS if name in item}
    try:
        _, is_new = layers.create_layer(actor=actor, environment=environment, payload=payload)
    except Conflict as error:
        current = error.extra.get("current")
        if current is None:
            raise
        layers.update_layer(
            actor=actor, environment=environment, key=item["key"], payload=payload, version=current["version"]
        )
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
        apply_elsewhere(draft, item, document)
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
    is_changed = overwrite(actor, environments, existing, item, document, reason="imported", action="flag.imported")
    if is_archived:
        archive_flag(actor=actor, environment=environment, key=item["key"], reason="imported as archived")
        return "updated"
    return "updated" if is_changed else "unchanged"


def _document_of(item: Mapping[str, Any], existing: FlagConfig | None) -> dict[str, Any]:
    """Return the flag's document. Rules keep their ids unless another flag has them."""
    variants = item.get("variants")
    first = (
        variants[0].get("key") if isinstance(variants, list) and variants and isinstance(variants[0], dict) else None
    )
    document = defaults_of(Flag(key=item["key"], variants=[{"key": first}]), RESTORED_FIELDS)
    names = ("type", *(field.name for field in RESTORED_FIELDS))
    document |= {name: item[name] for name in names if name in item} | {"key": item["key"]}
    rules = document["rules"]
    if isinstance(rules, list):
        document["rules"] = with_ids(rules, existing)
    return document
