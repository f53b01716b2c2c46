"""Segments: audiences with a name, put together out of lists and nested groups of conditions."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from openflagship.engine import DecodeError, decode_segment
from unfold.decorators import display

from audit.models import Entry
from flags import services
from flags.admin import conditions
from flags.admin.flag.changes import base_of, changes_in
from flags.admin.flag.sentences import describe_tree
from flags.admin.flag.suggestions import BUILT_IN
from flags.admin.segments.membership import membership
from flags.documents import segment_document
from flags.models import Segment
from flags.selectors import search_segments, segment_users
from tenancy.admin import RemovableAdmin
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin
from tenancy.errors import ServiceError
from tenancy.models import Environment

_FIELDS = ("key", "name", "included", "excluded", "conditions")


@dataclass(slots=True)
class SegmentForm:
    """What the page shows and sends: texts, the conditions as JSON that the page's builder reads and writes."""

    key: str = ""
    name: str = ""
    included: str = ""
    excluded: str = ""
    conditions: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> "SegmentForm":
        tree = document["conditions"]
        return cls(
            key=document["key"],
            name=document["name"],
            included="\n".join(document["included"]),
            excluded="\n".join(document["excluded"]),
            conditions=json.dumps(tree, ensure_ascii=False, indent=2) if tree else "",
        )

    @classmethod
    def sent(cls, post: QueryDict) -> "SegmentForm":
        form = cls()
        for name in _FIELDS:
            setattr(form, name, (post.get(name) or "").replace("\r\n", "\n").strip())
        return form

    def payload(self) -> dict[str, Any]:
        """Raises ValueError where the conditions are no JSON."""
        return {
            "name": self.name or self.key,
            "included": _lines(self.included),
            "excluded": _lines(self.excluded),
            "conditions": json.loads(self.conditions) if self.conditions else None,
        }

    def refuse(self, attr: str, detail: str) -> None:
        name = attr.partition(".")[0].partition("[")[0]
        self.errors.setdefault(name if name in _FIELDS else "", []).append(detail)


@admin.register(Segment)
class SegmentAdmin(PerEnvironmentAdmin, RemovableAdmin):
    list_display = ["name", "key", "included_count", "excluded_count", "has_conditions"]
    search_fields = ["key", "name"]
    empty_template = "flags/empty_segments.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        environments = [environment.pk for environment in console_context(request).environments]
        return Segment.objects.filter(environment__in=environments).select_related("environment__project__organization")

    @display(description="Always in")
    def included_count(self, segment: Segment) -> int:
        return len(segment.included)

    @display(description="Never in")
    def excluded_count(self, segment: Segment) -> int:
        return len(segment.excluded)

    @display(description="Conditions", boolean=True)
    def has_conditions(self, segment: Segment) -> bool:
        return bool(segment.conditions)

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self._preview)
        return [path("preview/", preview, name="flags_segment_preview"), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - likewise
    ) -> HttpResponse:
        return self._create(request) if object_id is None else self._edit(request, object_id)

    def _create(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        environment = self.environment_of(request)
        form, status = SegmentForm(), 200
        if request.method == "POST":
            form, status = SegmentForm.sent(request.POST), 422
            try:
                services.create_segment(
                    actor=console_context(request).actor,
                    environment=environment,
                    payload={**form.payload(), "key": form.key},
                )
            except ServiceError as error:
                _place(form, error)
            except ValueError as error:
                form.refuse("conditions", f"This is no JSON: {error}.")
            else:
                messages.success(request, f"{form.key} is there; rules can ask for it.")
                return redirect(self.list_url())
        return self._show(request, environment, form, status=status, title=f"New segment in {environment}")

    def _edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        segment: Segment | None = self.get_object(request, object_id)
        if segment is None:
            raise Http404("There is no such segment, or it belongs to another tenant.")
        may_edit = self.has_edit_permission(request, segment)
        form = SegmentForm.of(segment_document(segment))
        shown: dict[str, Any] = {"version": segment.version, "base": form.payload()}
        status = 200
        if request.method == "POST":
            if not may_edit:
                raise PermissionDenied
            form, status = SegmentForm.sent(request.POST), 422
            form.key = segment.key
            shown = {"version": _version(request), "base": base_of(request.POST, shown["base"])}
            try:
                changed = changes_in(form.payload(), shown["base"])
                services.update_segment(
                    actor=console_context(request).actor,
                    environment=segment.environment,
                    key=segment.key,
                    payload=changed,
                    version=shown["version"],
                    reason=request.POST.get("reason", "").strip(),
                )
            except ServiceError as error:
                if error.problems[0].code == "version_conflict":
                    status = 409
                    _merge(segment, form, changed, shown)
                else:
                    _place(form, error)
            except ValueError as error:
                form.refuse("conditions", f"This is no JSON: {error}.")
            else:
                messages.success(request, "Saved. Every rule that asks for it follows within a second.")
                return redirect(self.list_url())
        shown["base"] = json.dumps(shown["base"])
        return self._show(
            request,
            segment.environment,
            form,
            status=status,
            title=segment.name,
            segment=segment,
            users=segment_users(segment),
            may_edit=may_edit,
            remove_url=self.remove_url(request, segment),
            **shown,
        )

    def may_remove(self, request: HttpRequest, thing: Segment) -> bool:
        return self.has_edit_permission(request, thing)

    def consequence(self, thing: Segment) -> str:
        users = segment_users(thing)
        if users:
            return f"It cannot go yet, it is used by: {', '.join(users)}. Take it out there first."
        return f"Nothing in {thing.environment} asks for it, so nobody gets anything else. It cannot be brought back."

    def remove_thing(self, request: HttpRequest, thing: Segment, reason: str) -> None:
        services.delete_segment(
            actor=console_context(request).actor, environment=thing.environment, key=thing.key, reason=reason
        )

    def _show(
        self,
        request: HttpRequest,
        environment: Environment,
        form: SegmentForm,
        *,
        status: int,
        title: str,
        **shown: Any,
    ) -> HttpResponse:
        own = form.key if "segment" in shown else None
        return self.page(
            request,
            "flags/segment.html",
            title=title,
            status=status,
            place=environment,
            form=form,
            operators=conditions.offered(),
            kinds=conditions.KINDS.items(),
            attributes=BUILT_IN,
            segments=list(search_segments(environment).exclude(key=own).values_list("key", flat=True)[:500]),
            attributes_url=f"{reverse('admin:flags_flagconfig_attributes')}?environment={environment.pk}",
            preview_url=f"{reverse('admin:flags_segment_preview')}?environment={environment.pk}",
            list_url=self.list_url(),
            **{"may_edit": True, **shown},
        )

    def _preview(self, request: HttpRequest) -> HttpResponse:
        """What the form says in words, and whom it would bring in or put out; for whoever may look."""
        environment = self.environment_of(request)
        form = SegmentForm.sent(request.POST)
        stored = Segment.objects.filter(environment=environment, key=form.key).first()
        shown: dict[str, Any] = {}
        try:
            after = {**form.payload(), "key": form.key or "new-segment", "version": 1}
            decode_segment(after)
        except DecodeError as error:
            shown["problems"] = [problem.message for problem in error.problems]
        except ValueError as error:
            shown["problems"] = [f"The conditions are no JSON: {error}."]
        else:
            before = segment_document(stored) if stored else None
            shown = {
                "sentence": describe_tree(after["conditions"]) if after["conditions"] else "",
                "after": after,
                "is_new": stored is None,
            }
            try:
                shown["found"] = membership(environment, before, after)
            except OperationalError:
                shown["is_away"] = True
        return render(request, "flags/segment_preview.html", shown)


def _merge(segment: Segment, form: SegmentForm, changed: dict[str, Any], shown: dict[str, Any]) -> None:
    """Somebody saved in between: this person's changes over what is there now, and what the other one did."""
    segment.refresh_from_db()
    theirs = SegmentForm.of(segment_document(segment))
    current = theirs.payload()
    entries = Entry.objects.filter(
        organization_id=segment.environment.project.organization_id,
        entity_type="segment",
        entity_key=segment.key,
        environment=segment.environment.key,
    )
    shown["conflict"] = notice_of(entries, shown["base"], current, changed)
    for name in current.keys() - changed.keys():
        setattr(form, name, getattr(theirs, name))
    shown |= {"version": segment.version, "base": current}


def _place(form: SegmentForm, error: ServiceError) -> None:
    for problem in error.problems:
        form.refuse(problem.attr or "", problem.detail)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _version(request: HttpRequest) -> int:
    sent = request.POST.get("version", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 19 else 0
