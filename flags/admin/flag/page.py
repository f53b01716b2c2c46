"""One flag's page: create, edit with the change shown before it is saved, archive, restore."""

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.admin import conditions
from flags.admin.flag.changes import base_of, changes_in
from flags.admin.flag.comparison import siblings
from flags.admin.flag.form import ConditionRow, FlagForm, PrerequisiteRow, RuleRow, VariantRow
from flags.admin.flag.preview import Preview, preview_change, preview_new
from flags.admin.flag.sentences import describe_sent
from flags.admin.flag.snippets import snippets_for
from flags.admin.flag.suggestions import BUILT_IN
from flags.admin.panels import panels_for
from flags.documents import flag_resource
from flags.models import Flag, FlagConfig, Segment
from flags.selectors import search_segments, segments_in
from flags.services.drafts import SHARED_FIELDS
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.errors import Conflict, ServiceError
from tenancy.models import Environment, Role

if TYPE_CHECKING:
    from flags.admin.flags import FlagConfigAdmin

_RULE_AT = re.compile(r"rules\[(\d+)\]")


def create(model_admin: "FlagConfigAdmin", request: HttpRequest) -> HttpResponse:
    environment = console_context(request).environment
    assert environment is not None  # noqa: S101 - whoever may add has one
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
    return _render(model_admin, request, environment, form, status=status, title=f"New flag in {environment}")


def edit(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    may_edit = model_admin.has_edit_permission(request, config) and not config.flag.is_archived
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
        model_admin,
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
        if changed.keys() & set(SHARED_FIELDS):
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


def preview(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig | None) -> HttpResponse:  # noqa: ARG001 - as the other pages
    """The fragment beside the form: the configuration in words, and whom saving it would move."""
    form = FlagForm.sent(request.POST)
    if config is not None:
        form.key, form.type = config.flag.key, config.flag.type
    payload, problems = form.payload()
    foreseen = Preview(problems=problems)
    environment = config.environment if config is not None else console_context(request).environment
    if not problems and environment is not None:
        if config is None:
            foreseen = preview_new(environment, {**payload, "key": form.key, "type": form.type})
        else:
            foreseen = preview_change(environment, config.flag.key, changes_in(payload, base_of(request.POST, {})))
    # A rule that cannot be read yet says nothing, rather than what its readable half would do.
    unread = {int(found[1]) for item in problems if (found := _RULE_AT.match(item.attr or ""))}
    said = ["" if index in unread else describe_sent(rule) for index, rule in enumerate(payload["rules"])]
    return render(request, "flags/preview.html", {"preview": foreseen, "config": config, "rules": json.dumps(said)})


def archive(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    return _confirmed_act(
        model_admin,
        request,
        config,
        services.archive_flag,
        title=f"Archive {config.flag.key}?",
        submit="Archive",
        intro="It stops being served in every environment: callers get their own default. Its key, history and events "
        "stay, and it can be restored as it is now.",
        done=f"{config.flag.key} is archived.",
        is_dangerous=True,
    )


def restore(model_admin: "FlagConfigAdmin", request: HttpRequest, config: FlagConfig) -> HttpResponse:
    return _confirmed_act(
        model_admin,
        request,
        config,
        services.restore_flag,
        title=f"Restore {config.flag.key}?",
        submit="Restore",
        intro="It is served again in every environment, as it was configured when it was archived.",
        done=f"{config.flag.key} is served again.",
    )


def _confirmed_act(
    model_admin: "FlagConfigAdmin",
    request: HttpRequest,
    config: FlagConfig,
    act: Any,
    *,
    title: str,
    done: str,
    **shown: Any,
) -> HttpResponse:
    problems: list[str] = []
    if request.method == "POST":
        try:
            console_context(request).require_in_project(Role.EDITOR, config.environment.project)
            act(
                actor=console_context(request).actor,
                environment=config.environment,
                key=config.flag.key,
                reason=request.POST.get("reason", ""),
            )
        except ServiceError as error:
            problems = [problem.detail for problem in error.problems]
        else:
            messages.success(request, done)
            return redirect("admin:flags_flagconfig_change", config.pk)
    return model_admin.page(
        request,
        "flags/act.html",
        title=title,
        config=config,
        problems=problems,
        status=409 if problems else 200,
        **shown,
    )


def _render(
    model_admin: "FlagConfigAdmin",
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
    return model_admin.page(
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
        list_url=model_admin.list_url(),
        people_url=reverse("admin:flags_flagconfig_people", args=[config.pk]) if config is not None else "",
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
