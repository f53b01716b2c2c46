"""One flag's page: create, edit with the change shown before it is saved, archive, restore."""

import hashlib
import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.admin import conditions
from flags.admin.flag.changes import base_of, changes_in
from flags.admin.flag.comparison import siblings
from flags.admin.flag.draft_preview import preview_change
from flags.admin.flag.form import ConditionRow, FlagForm, PrerequisiteRow, RuleRow, VariantRow
from flags.admin.flag.snippets import snippets_for
from flags.admin.flag.suggestions import BUILT_IN
from flags.admin.panels import panels_for
from flags.documents import flag_resource
from flags.fields import SHARED_FIELDS
from flags.models import Flag, FlagConfig, Segment
from flags.selectors import search_segments, segments_in
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit as is_editor
from tenancy.console_kit.pages import console_page, list_url
from tenancy.errors import Conflict, ServiceError
from tenancy.models import Environment
from tenancy.roles import Role


def create(request: HttpRequest, environment: Environment) -> HttpResponse:
    form = FlagForm.empty()
    status = 200
    if request.method == "POST":
        form = FlagForm.sent(request.POST)
        payload, problems = form.payload()
        status = 422
        if not problems:
            try:
                console_context(request).require_in_project(Role.EDITOR, environment.project)
                config, is_new = services.create_flag(
                    actor=console_context(request).actor,
                    environment=environment,
                    payload={**payload, "key": form.key, "type": form.type},
                )
            except ServiceError as error:
                problems = error.problems
            else:
                messages.success(
                    request,
                    f"{form.key} is there, off in every other environment."
                    if is_new
                    else f"{form.key} was there already.",
                )
                return redirect("admin:flags_flagconfig_change", config.pk)
        form.place(problems)
    return _render(request, environment, form, status=status, title=f"New flag in {environment}")


def edit(request: HttpRequest, config: FlagConfig) -> HttpResponse:
    may_edit = is_editor(request, config) and not config.flag.is_archived
    resource = flag_resource(config)
    form = FlagForm.of(resource)
    base = form.payload()[0]
    shown: dict[str, Any] = {"version": config.version, "base": base}
    status = 200
    if request.method == "POST" and may_edit:
        form = FlagForm.sent(request.POST)
        form.key, form.type = config.flag.key, config.flag.type
        shown = {
            "version": _version(request),
            "base": base_of(request.POST, base),
            "reason": request.POST.get("reason", ""),
        }
        status, saved = _save(request, config, form, shown)
        if saved is not None:
            return saved
        form = shown.pop("form", form)
    return _render(
        request,
        config.environment,
        form,
        status=status,
        title=config.flag.key,
        config=config,
        may_edit=may_edit,
        **shown,
    )


def _save(
    request: HttpRequest, config: FlagConfig, form: FlagForm, shown: dict[str, Any]
) -> tuple[int, HttpResponse | None]:
    """Save what was changed and nothing else; return `(status, None)`, `shown` filled, where the page comes again."""
    payload, problems = form.payload()
    base = shown["base"]
    changed = changes_in(payload, base)
    if problems:
        form.place(problems)
        return 422, None
    if not changed:
        messages.info(request, "Nothing was different, so nothing was saved.")
        return 200, redirect("admin:flags_flagconfig_change", config.pk)
    environment = config.environment
    if environment.is_production and not _is_confirmed(request, changed):
        foreseen = preview_change(environment, config.flag.key, changed)
        if foreseen.is_large:
            shown |= {"confirm": foreseen, "confirmed": _fingerprint(changed)}
            return 200, None
    try:
        if changed.keys() & {field.name for field in SHARED_FIELDS}:
            console_context(request).require_in_project(Role.EDITOR, environment.project)
        services.update_flag(
            actor=console_context(request).actor,
            environment=environment,
            key=config.flag.key,
            payload=changed,
            version=shown["version"],
            reason=shown["reason"],
        )
    except Conflict as error:
        if error.problems[0].code == "version_conflict":
            _merge(config, form, changed, shown, error.extra["current"])
        else:
            form.place(error.problems)
        return 409, None
    except ServiceError as error:
        form.place(error.problems)
        return 422, None
    messages.success(request, f"Saved. {config.flag.key} serves it within a second.")
    return 200, redirect("admin:flags_flagconfig_change", config.pk)


def _merge(
    config: FlagConfig, form: FlagForm, changed: dict[str, Any], shown: dict[str, Any], current: dict[str, Any]
) -> None:
    """Somebody saved in between: lay this person's changes over what is there now, and show what the other one did."""
    theirs = FlagForm.of(current).payload()[0]
    base = shown["base"]
    entries = Entry.objects.filter(
        organization_id=config.environment.project.organization_id, entity_type="flag", entity_key=config.flag.key,
        project=config.environment.project.key,
    )  # fmt: skip
    merged = FlagForm.of({**current, **{name: value for name, value in changed.items() if name != "rules"}})
    if "rules" in changed:
        merged.rules = form.rules
    shown |= {
        "form": merged,
        "version": current["version"],
        "base": theirs,
        "conflict": notice_of(entries, base, theirs, changed),
    }


def _render(
    request: HttpRequest,
    environment: Environment,
    form: FlagForm,
    *,
    title: str,
    status: int,
    config: FlagConfig | None = None,
    may_edit: bool = True,
    **shown: Any,
) -> HttpResponse:
    base = shown.pop("base", None)
    return console_page(
        request,
        "flags/flag.html",
        title=title,
        status=status,
        config=config,
        place=environment,
        form=form,
        may_edit=may_edit,
        may_archive=config is not None and console_context(request).may_in_project(Role.EDITOR, environment.project),
        base=json.dumps(base) if base is not None else "",
        siblings=siblings(request, config) if config is not None else [],
        dependents=_dependents(config),
        asked_segments=_asked_segments(config),
        panels=panels_for(request, config) if config is not None else [],
        operators=conditions.offered(),
        kinds=conditions.KINDS.items(),
        flag_types=Flag.Type.choices,
        attributes=BUILT_IN,
        attributes_url=f"{reverse('admin:flags_flagconfig_attributes')}?environment={environment.pk}",
        segments=list(search_segments(environment).values_list("key", flat=True)[:500]),
        flag_keys=_other_flags(environment, config),
        blank_rule=RuleRow("__rule__", serve=form.variants[-1].ref if form.variants else ""),
        blank_condition=ConditionRow("__condition__"),
        blank_variant=VariantRow("__variant__", "", ""),
        blank_prerequisite=PrerequisiteRow("__prerequisite__"),
        preview_url=reverse("admin:flags_flagconfig_preview", args=[config.pk])
        if config is not None
        else reverse("admin:flags_flagconfig_preview_new"),
        list_url=list_url(FlagConfig),
        people_url=reverse("admin:flags_flagconfig_affected_users", args=[config.pk]) if config is not None else "",
        snippets=snippets_for(config) if config is not None else [],
        **shown,
    )


def _dependents(config: FlagConfig | None) -> list[FlagConfig]:
    if config is None:
        return []
    rows = FlagConfig.objects.filter(
        environment=config.environment_id,
        flag__is_archived=False,
        prerequisites__contains=[{"flagKey": config.flag.key}],
    )
    return list(rows.select_related("flag")[:20])


def _asked_segments(config: FlagConfig | None) -> list[Segment]:
    """The segments that the flag's stored rules ask for."""
    if config is None:
        return []
    keys = segments_in([rule.conditions for rule in config.rules.all()])
    return list(Segment.objects.filter(environment=config.environment_id, key__in=keys).order_by("key"))


def _other_flags(environment: Environment, config: FlagConfig | None) -> list[str]:
    rows = Flag.objects.filter(project=environment.project_id, is_archived=False)
    if config is not None:
        rows = rows.exclude(pk=config.flag_id)
    return list(rows.order_by("key").values_list("key", flat=True)[:500])


def _version(request: HttpRequest) -> int:
    sent = request.POST.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 19 else 0


def _fingerprint(changed: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()


def _is_confirmed(request: HttpRequest, changed: dict[str, Any]) -> bool:
    """A confirmation holds for exactly the change that was shown."""
    return request.POST.get("confirmed") == _fingerprint(changed)
