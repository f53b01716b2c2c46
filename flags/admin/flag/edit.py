"""The pages that create and edit one flag. They show what a change does before it is saved."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.models import Entry
from flags import services
from flags.admin import conditions
from flags.admin.flag.form import condition_fields, document_of, fields_of, new_document
from flags.admin.flag.snippets import snippets_for
from flags.admin.flag.suggestions import BUILT_IN
from flags.admin.panels import chosen_save_act, panels_for, rule_acts_for, save_acts
from flags.admin.reach import Reach, dependents_of, reaches_of_flag
from flags.api.serializers import FlagSerializer
from flags.documents import flag_document, flag_resource
from flags.fields import SHARED_FIELDS
from flags.models import Flag, FlagConfig, Segment
from flags.selectors import search_segments, segments_in, teams_in
from flags.services import drafts
from tenancy import access
from tenancy.console_kit import proposals
from tenancy.console_kit.context import console_context
from tenancy.console_kit.documents import DocumentEdit
from tenancy.console_kit.environments import may_edit as is_editor
from tenancy.console_kit.pages import console_page, in_environment, list_url, object_url, route_name
from tenancy.errors import Conflict, ServiceError
from tenancy.models import Environment, Exposures, Role
from tenancy.refusals import refuse_stale


def create(request: HttpRequest, environment: Environment) -> HttpResponse:
    edit = DocumentEdit(new_document())
    if request.method == "POST":
        edit = DocumentEdit.sent(request)
        context = console_context(request)
        try:
            payload = edit.checked(FlagSerializer)
            context.require_in_project(Role.EDITOR, environment.project)
            config, is_new = proposals.attempted(
                request,
                lambda: services.create_flag(actor=context.actor, environment=environment, payload=payload),
                environment,
            )
        except ServiceError as error:
            if (made := edit.refused(request, error)) is not None:
                return made
        else:
            key = config.flag.key
            said = f"{key} is there, off in every other environment." if is_new else f"{key} was there already."
            messages.success(request, said)
            return redirect(object_url(config))
    return console_page(
        request,
        "flags/flag.html",
        title=f"New flag in {environment}",
        status=edit.status,
        **_shown(request, environment, edit),
    )


def edit(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    may_edit = is_editor(request, config) and not config.flag.is_archived
    stored = document_of(flag_resource(config))
    editing = DocumentEdit.opened(stored, config.version)
    change = proposals.Changed(config.environment, "flag", config.flag.key)
    amendment = proposals.amended(request, change) if may_edit else None
    if amendment is not None:
        editing.document = document_of({**flag_resource(config), **amendment.patch})
    confirm: list[Reach] = []
    confirmed = ""
    if request.method == "POST" and may_edit:
        editing = DocumentEdit.sent(request, stored)
        try:
            changed = editing.changes(FlagSerializer)
            if not changed:
                messages.info(request, "Nothing was different, so nothing was saved.")
                return redirect(object_url(config))
            _require_role(request, config, changed)
            if amendment is not None:
                return proposals.amend(request, change, changed)
            if (act := chosen_save_act(request)) is not None:
                # What somebody saved meanwhile is shown first, as when it is saved now.
                refuse_stale("flag", flag_resource(config), editing.version)
                return act.perform(request, config, changed)
            # What others have to agree to first is served to nobody yet: their page says whom it reaches.
            if not proposals.is_wanted(request):
                confirm, confirmed = _to_confirm(request, config, editing, changed)
            if not confirm:
                write = partial(_save, request, config, editing, changed)
                proposals.attempted(request, write, config.environment)
                messages.success(request, f"Saved. {config.flag.key} serves it within a second.")
                return redirect(object_url(config))
        except Conflict as error:
            if error.problems[0].code == "version_conflict" and amendment is None:
                current = error.extra["current"]
                editing.merge(document_of(current), current["version"], changed, _entries(config))
            elif (made := editing.refused(request, error)) is not None:
                return made
        except ServiceError as error:
            editing.refuse(error)
    return console_page(
        request,
        "flags/flag.html",
        title=config.flag.key,
        status=editing.status,
        confirm=confirm,
        amendment=amendment,
        begins_phase=any(reach.phases for reach in confirm),
        confirmed=confirmed,
        **{**_shown(request, config.environment, editing, config), **_beside(request, config, may_edit=may_edit)},
    )


def _require_role(request: HttpRequest, config: FlagConfig, changed: dict[str, Any]) -> None:
    """Raise Forbidden unless the role covers every environment that the change reaches."""
    if changed.keys() & {field.name for field in SHARED_FIELDS}:
        console_context(request).require_in_project(Role.EDITOR, config.environment.project)


def _save(request: HttpRequest, config: FlagConfig, editing: DocumentEdit, changed: dict[str, Any]) -> None:
    """Save the fields that this person changed, and no others. Raises ServiceError."""
    services.update_flag(
        actor=console_context(request).actor,
        environment=config.environment,
        key=config.flag.key,
        payload=changed,
        version=editing.version,
        reason=editing.reason,
    )


def _to_confirm(
    request: HttpRequest, config: FlagConfig, editing: DocumentEdit, changed: dict[str, Any]
) -> tuple[list[Reach], str]:
    """Return what needs confirmation, an environment each, and the change's fingerprint; nothing once it is confirmed.

    A confirmation is valid for exactly the change that was shown. Raises ServiceError, as saving does.
    """
    fingerprint = editing.confirmation(request, changed)
    is_felt = config.environment.is_production or config.experiment or "variants" in changed
    if not fingerprint or not is_felt:
        return [], ""
    if editing.version != config.version:
        return [], ""  # Somebody saved meanwhile: saving merges both first.
    before = flag_document(config)
    after = drafts.draft_of(config.environment, config.flag.key, changed).document
    foreseen = reaches_of_flag(config, before, after)
    return (foreseen, fingerprint) if any(reach.is_asked for reach in foreseen) else ([], "")


def _entries(config: FlagConfig) -> Any:
    """Return the audit log's entries about the flag."""
    project = config.environment.project
    return Entry.objects.filter(
        organization_id=project.organization_id, entity_type="flag", entity_key=config.flag.key, project=project.key
    )


def _shown(
    request: HttpRequest, environment: Environment, editing: DocumentEdit, config: FlagConfig | None = None
) -> dict[str, Any]:
    """Return what the form needs, for a new or an existing flag."""
    return {
        "config": config,
        "place": environment,
        "edit": editing,
        "form": fields_of(editing.document, config),
        "may_edit": True,
        "may_archive": config is not None and console_context(request).may_in_project(Role.EDITOR, environment.project),
        "may_purge": config is not None and console_context(request).may_in_project(Role.ADMIN, environment.project),
        "operators": conditions.offered(),
        "kinds": conditions.KINDS.items(),
        "blank_condition": condition_fields({"attribute": "", "operator": "equals"}),
        "flag_types": Flag.Type.choices,
        "flag_kinds": Flag.Kind.choices,
        "people": access.people_of(environment.project).order_by("username").values_list("username", flat=True)[:500],
        "teams": teams_in(environment.project),
        "exposures_choices": Exposures.choices,
        "attributes": BUILT_IN,
        "attributes_url": in_environment("admin:flags_flagconfig_attributes", environment),
        "segments": list(search_segments(environment).values_list("key", flat=True)[:500]),
        "flag_keys": _other_flags(environment, config),
        "preview_url": _preview_url(environment, config),
        "list_url": list_url(FlagConfig, environment=environment),
    }


def _beside(request: HttpRequest, config: FlagConfig, *, may_edit: bool) -> dict[str, Any]:
    """Return what the page shows around the form of an existing flag."""
    return {
        "may_edit": may_edit,
        # What the role does not cover, and what a running experiment holds, is read only.
        "is_shared_locked": may_edit
        and not console_context(request).may_in_project(Role.EDITOR, config.environment.project),
        "is_split_locked": may_edit and drafts.is_rollout_locked(config),
        "siblings": _siblings(request, config),
        "dependents": dependents_of(config.environment, config.flag.key),
        "asked_segments": _asked_segments(config),
        "panels": panels_for(request, config),
        "rule_acts": rule_acts_for(request, config),
        "save_acts": save_acts(),
        "affected_users_url": object_url(config, "affected_users"),
        "snippets": snippets_for(config),
    }


def _siblings(request: HttpRequest, config: FlagConfig) -> list[FlagConfig]:
    """Return the same flag in the environments that this person may see, production first."""
    mine = [environment.pk for environment in console_context(request).environments]
    rows = FlagConfig.objects.filter(flag=config.flag_id, environment__in=mine).select_related("environment", "flag")
    return list(rows.order_by("-environment__is_production", "environment__key"))


def _asked_segments(config: FlagConfig) -> list[Segment]:
    """Return the segments that the flag's stored rules ask for."""
    keys = segments_in([rule.conditions for rule in config.rules.all()])
    return list(Segment.objects.filter(environment=config.environment_id, key__in=keys).order_by("key"))


def _preview_url(environment: Environment, config: FlagConfig | None) -> str:
    if config is not None:
        return object_url(config, "preview")
    return in_environment(route_name(FlagConfig, "preview_new"), environment)


def _other_flags(environment: Environment, config: FlagConfig | None) -> list[str]:
    rows = Flag.objects.filter(project=environment.project_id, is_archived=False)
    if config is not None:
        rows = rows.exclude(pk=config.flag_id)
    return list(rows.order_by("key").values_list("key", flat=True)[:500])
