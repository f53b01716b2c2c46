"""Creating and changing flags, and configuring them in a new environment."""

from collections.abc import Mapping
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F

import audit.services
from audit.actors import Actor
from audit.services import is_same
from flags.documents import flag_document, flag_resource, rule_document
from flags.fields import EDITABLE_FIELDS, PRESENTATION_FIELDS, READ_ONLY_FIELDS, SHARED_FIELDS, defaults_of
from flags.models import Change, Flag, FlagConfig, Rule
from flags.selectors import configs, get_config
from flags.services import drafts, gate, version_log
from flags.signals import experiment_begins, flag_changed_under_experiment, flag_changes
from tenancy.errors import Conflict, Invalid, Problem
from tenancy.models import Environment, Project
from tenancy.privacy.personal_values import personal_variants
from tenancy.refusals import refuse_if_any, refuse_read_only, refuse_stale

log = structlog.get_logger(__name__)

# Fields that are shown, and what changes them.
_CHANGED_BY = {
    "killSwitchVariant": "A kill changes this: POST flags/{key}/kill, and POST flags/{key}/kill/release ends it.",
    "status": "DELETE flags/{key} archives a flag, and POST flags/{key}/restore brings it back.",
    "createdAt": "",
    "updatedAt": "",
}
_OF_NEW = {"killSwitchVariant": None, "status": "active"}


@gate.act("flag.create")
@transaction.atomic
def create_flag(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> tuple[FlagConfig, bool]:
    """Create a flag in the environment's project. It is configured as sent here, and off in the other environments.

    Returns the configuration and whether it is new. A flag that exists with the same content is returned as it is.
    Raises Invalid, or Conflict `key_exists`.
    """
    project = environment.project
    environments = version_log.lock_project(project)
    draft = _new_draft(project, environments[environment.pk], payload)
    flag = draft.flag
    existing = configs(environment).filter(flag__key=flag.key).first()
    if existing is not None:
        return _same_or_conflict(existing, draft, payload), False
    return insert_draft(actor=actor, draft=draft, environments=environments), True


def insert_draft(
    *, actor: Actor, draft: drafts.Draft, environments: Mapping[int, Environment], action: str = "flag.created"
) -> FlagConfig:
    """Check a new flag, store it with a configuration in each of the (locked) environments, log and audit it.

    Raises Invalid, or Conflict `key_exists`.
    """
    flag, environment_id = draft.flag, draft.config.environment_id
    refuse_if_any(drafts.check(draft))
    _warn_of_personal_values(flag)
    try:
        with transaction.atomic():
            flag.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"There is already a flag {flag.key!r}.", code="key_exists", attr="key") from error
    _save(draft)
    for other in (row for pk, row in environments.items() if pk != environment_id):
        config = _new_config(flag, other)
        _name_default_variants(config)
        config.version = 1
        config.save(force_insert=True)
    for config in FlagConfig.objects.filter(flag=flag).select_related("flag", "environment").prefetch_related("rules"):
        version_log.append_flag(actor, config, environments[config.environment_id])
    config = get_config(draft.config.environment, flag.key)
    audit.services.record(
        actor=actor,
        action=action,
        at=config.environment,
        key=config.flag.key,
        after=flag_resource(config),
    )
    return config


def _new_draft(project: Project, environment: Environment, payload: Mapping[str, Any]) -> drafts.Draft:
    flag = _new_flag(project, payload)
    draft = drafts.Draft(flag, _new_config(flag, environment), [])
    refuse_read_only(payload, _OF_NEW, _CHANGED_BY)
    refuse_if_any(drafts.apply(draft, payload))
    if not flag.variants:
        raise Invalid("A flag has at least two variants; name them.", attr="variants", code="required")
    _name_default_variants(draft.config)
    flag.name = flag.name or flag.key
    return draft


def _new_flag(project: Project, payload: Mapping[str, Any]) -> Flag:
    kind = payload.get("type", Flag.Type.BOOLEAN)
    variants = payload.get("variants") or (drafts.BOOLEAN_VARIANTS if kind == Flag.Type.BOOLEAN else None)
    if variants is None:
        raise Invalid(f"A {kind} flag needs at least two variants; name them.", attr="variants", code="required")
    return Flag(project=project, key=payload.get("key", ""), type=kind, variants=variants)


def _new_config(flag: Flag, environment: Environment) -> FlagConfig:
    return FlagConfig(flag=flag, environment=environment, salt=flag.key)


def _name_default_variants(config: FlagConfig) -> None:
    first = config.flag.variants[0]["key"]
    config.default_variant = config.default_variant or first
    config.off_variant = config.off_variant or first


def _same_or_conflict(existing: FlagConfig, draft: drafts.Draft, payload: Mapping[str, Any]) -> FlagConfig:
    """Return the flag that exists if the fields that were sent are the same there. Ids of rules are not compared."""
    if existing.flag.is_archived:
        raise Conflict(
            f"{existing.flag.key!r} is archived and keeps its key; restore it, or choose another key.",
            code="key_exists",
            attr="key",
        )
    there = flag_resource(existing)
    wanted = flag_resource(draft.config, sorted(draft.rules, key=lambda rule: rule.priority))
    read_only = {field.name for field in READ_ONLY_FIELDS}
    named = [name for name in payload if name not in read_only]
    if any(not is_same(_without_ids(there[name]), _without_ids(wanted[name])) for name in named):
        raise Conflict(
            f"There is already a flag {existing.flag.key!r} with other content.",
            code="key_exists",
            attr="key",
            current=there,
        )
    return existing


def _without_ids(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{k: v for k, v in item.items() if k != "id"} if isinstance(item, dict) else item for item in value]


@gate.act("flag.update")
@transaction.atomic
def update_flag(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    payload: Mapping[str, Any],
    version: int | None,
    is_partial: bool = True,
    reason: str = "",
) -> FlagConfig:
    """Change a flag as one environment sees it. `version` is the version that was read; None skips the check.

    With `is_partial`, a field that was not sent keeps its value; otherwise it gets its default. Fields of the project
    (name, tags, variants …) change in every environment. Raises Invalid, NotFound, Conflict `version_conflict` or
    `rollout_conflict`.
    """
    environments = version_log.lock_project(environment.project)
    config = get_config(environments[environment.pk], key)
    before = flag_resource(config)
    refuse_stale("flag", before, version)
    flag = config.flag
    refuse_read_only(payload, before, _CHANGED_BY)
    drafts.refuse_archived(flag)
    drafts.refuse_immutable(flag, payload)
    full = payload if is_partial else {**defaults_of(flag, EDITABLE_FIELDS), **payload}
    draft = drafts.Draft(flag, config, list(config.rules.all()))
    split_before = drafts.split_of(config)
    refuse_if_any(drafts.apply(draft, full))
    drafts.refuse_split_change(draft, split_before)
    return commit_draft(actor=actor, draft=draft, environments=environments, before=before, reason=reason)


def commit_draft(
    *,
    actor: Actor,
    draft: drafts.Draft,
    environments: Mapping[int, Environment],
    before: dict[str, Any],
    reason: str,
    action: str = "flag.updated",
) -> FlagConfig:
    """Check a changed flag, store it, log it and audit it. `environments` are those of the project, locked.

    A change of the project's fields goes into the logs of the other environments too. Raises Invalid, and Conflict
    `rollout_in_progress` where a running plan owns what changes.
    """
    flag, config = draft.flag, draft.config
    refuse_if_any(drafts.check(draft))
    flag_changes.send(sender=FlagConfig, draft=draft)
    document_before = flag_document(get_config(config.environment, flag.key)) if config.experiment else None
    shared_changed = any(not is_same(field.read(config), before[field.name]) for field in SHARED_FIELDS)
    is_description = shared_changed and not _changes_what_is_served(draft, before)
    if shared_changed:
        _check_elsewhere(flag, config)
        _warn_of_personal_values(flag)
        flag.save()
    _save(draft, is_description=is_description)
    saved = get_config(config.environment, flag.key)
    version_log.append_flag(actor, saved, environments[config.environment_id])
    if shared_changed:
        for other in flag.configs.exclude(pk=config.pk).select_related("flag", "environment").prefetch_related("rules"):
            other.version += 1
            other.save(update_fields=["version", *([] if is_description else ["updated_at"])])
            version_log.append_flag(actor, other, environments[other.environment_id])
    audit.services.record(
        actor=actor,
        action=action,
        at=saved.environment,
        key=saved.flag.key,
        before=before,
        after=flag_resource(saved),
        reason=reason,
    )
    if document_before is not None:
        flag_changed_under_experiment.send(
            sender=FlagConfig, config=saved, actor=actor, before=document_before, after=flag_document(saved)
        )
    return saved


def _warn_of_personal_values(flag: Flag) -> None:
    """Log which variants have a value that looks personal, and never the value."""
    for variant, kind in personal_variants(flag.variants).items():
        log.warning("flag_value_personal", project=flag.project_id, flag=flag.key, variant=variant, looks_like=kind)


def _check_elsewhere(flag: Flag, config: FlagConfig) -> None:
    """Check that the other environments still fit the changed variants."""
    problems: list[Problem] = []
    for other in flag.configs.exclude(pk=config.pk).select_related("environment").prefetch_related("rules"):
        other.flag = flag
        found = drafts.check_alone(drafts.Draft(flag, other, list(other.rules.all())))
        problems += [
            Problem("variants", problem.code, f"In {other.environment.key}, {problem.attr}: {problem.detail}")
            for problem in found
        ]
    refuse_if_any(problems)


def set_experiment(
    *,
    actor: Actor,
    environment: Environment,
    key: str,
    section: dict[str, Any] | None,
    salt: str | None = None,
    enable_flag: bool = False,
) -> FlagConfig:
    """Put an experiment's section into the flag's document, or remove it, in the experiments app's transaction.

    The caller audits, because this is an act on the experiment. A new `salt`, for a restart, assigns every unit anew.
    With `enable_flag` a flag that is off is switched on in the same step, which is audited as a change of the flag.
    """
    locked = version_log.lock_environment(environment)
    config = get_config(locked, key)
    if section is not None:
        drafts.refuse_several_units(config, attr="flagKey")
    if section is not None and config.experiment and config.experiment["id"] != section["id"]:
        raise Conflict(
            f"Another experiment is running on {key!r} here; complete it first.",
            code="experiment_conflict",
            attr="flagKey",
        )
    if section is not None and not config.experiment:
        experiment_begins.send(sender=FlagConfig, config=config)
    before = flag_resource(config)
    is_switched_on = enable_flag and not config.is_enabled
    config.experiment = section
    config.is_enabled = config.is_enabled or enable_flag
    if salt is not None:
        config.salt = salt
    config.version += 1
    config.save()
    version_log.append_flag(actor, config, locked)
    if is_switched_on:
        audit.services.record(
            actor=actor,
            action="flag.updated",
            at=locked,
            key=key,
            before=before,
            after=flag_resource(config),
            reason="Switched on at the start of an experiment",
        )
    return config


def end_experiment(
    *, actor: Actor, environment: Environment, key: str, change: Mapping[str, Any] | None, reason: str
) -> FlagConfig:
    """Remove the experiment's section, and make the change that was decided, in one step of the version log.

    Evaluators so go from the experiment straight to the decision. It runs in the experiments app's transaction.
    """
    if change is None:
        return set_experiment(actor=actor, environment=environment, key=key, section=None)
    FlagConfig.objects.filter(environment=environment, flag__key=key).update(experiment=None)
    return update_flag(actor=actor, environment=environment, key=key, payload=change, version=None, reason=reason)


@gate.act("environment.create")
@transaction.atomic
def configure_environment(*, actor: Actor, environment: Environment) -> None:
    """Give every flag of the project a configuration in a new environment, where it is off."""
    locked = version_log.lock_environment(environment)
    for flag in Flag.objects.filter(project=environment.project):
        config = _new_config(flag, locked)
        _name_default_variants(config)
        config.version = 1
        config.save(force_insert=True)
        if not flag.is_archived:
            version_log.append_flag(actor, config, locked)


@gate.act("environment.update")
@transaction.atomic
def follow_exposures(*, actor: Actor, environment: Environment) -> None:
    """Serve the environment's new choice of exposures for each flag that has none of its own."""
    locked = version_log.lock_environment(environment)
    followers = configs(locked).filter(exposures="", flag__is_archived=False)
    FlagConfig.objects.filter(pk__in=list(followers.values_list("pk", flat=True))).update(version=F("version") + 1)
    changes = [version_log.flag_change(config, Change.Kind.FLAG_UPDATED) for config in followers]
    version_log.append_each(environment=locked, actor=actor, changes=changes)


def _changes_what_is_served(draft: drafts.Draft, before: Mapping[str, Any]) -> bool:
    after = flag_resource(draft.config, draft.rules)
    fields = (field.name for field in EDITABLE_FIELDS if field not in PRESENTATION_FIELDS)
    return any(not is_same(after[name], before[name]) for name in fields)


def _save(draft: drafts.Draft, *, is_description: bool = False) -> None:
    """Store the draft. Of the rules, only those that differ are written.

    A configuration's `updated_at` is that of what it serves: a new owner does not make a flag look looked after.
    """
    config = draft.config
    config.version += 1
    config.save(update_fields=["version"] if is_description else None)
    there = {rule.pk: rule_document(rule) for rule in Rule.objects.filter(config=config)}
    for rule in draft.rules:
        rule.config = config
    gone = there.keys() - {rule.pk for rule in draft.rules}
    if gone:
        Rule.objects.filter(pk__in=gone).delete()
    Rule.objects.bulk_create([rule for rule in draft.rules if rule.pk not in there])
    changed = [rule for rule in draft.rules if rule.pk in there and not is_same(rule_document(rule), there[rule.pk])]
    if changed:
        Rule.objects.bulk_update(changed, ["priority", "name", "conditions", "variant", "allocation"])
