"""Segments: audiences with a name, put together out of lists and nested groups of conditions."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from openflagship.engine import DecodeError, decode_segment

from audit.models import Entry
from flags import services
from flags.admin import conditions
from flags.admin.flag.sentences import describe_tree
from flags.admin.flag.suggestions import BUILT_IN
from flags.admin.reach import Reach
from flags.admin.segments.membership import membership
from flags.admin.segments.segment_reach import reach_of_segment
from flags.api.serializers import SegmentSerializer
from flags.documents import segment_document, segment_resource
from flags.evaluation.impact import phases_begun_by_segment
from flags.models import Segment
from flags.selectors import search_segments, segment_users
from tenancy.console_kit import proposals
from tenancy.console_kit.context import console_context
from tenancy.console_kit.documents import ANY, DocumentEdit, as_json, shaped
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import console_page, in_environment, list_url
from tenancy.console_kit.removal import Removal
from tenancy.errors import Problem, ServiceError
from tenancy.models import Environment

_SHAPE = {"key": "", "name": "", "included": [""], "excluded": [""], "conditions": ANY}


def create(request: HttpRequest, environment: Environment) -> HttpResponse:
    editing = DocumentEdit({})
    if request.method == "POST":
        editing = DocumentEdit.sent(request)
        actor = console_context(request).actor
        try:
            payload = editing.checked(SegmentSerializer)
            segment, _ = proposals.attempted(
                request,
                lambda: services.create_segment(actor=actor, environment=environment, payload=payload),
                environment,
            )
        except ServiceError as error:
            if (made := editing.refused(request, error)) is not None:
                return made
        else:
            messages.success(request, f"{segment.key} is there; rules can ask for it.")
            return redirect(list_url(segment))
    return _page(request, environment, editing, title=f"New segment in {environment}", may_edit=True)


def edit(request: HttpRequest, segment: Segment) -> HttpResponse:
    is_editor = may_edit(request, segment)
    stored = _document_of(segment_resource(segment))
    editing = DocumentEdit.opened(stored, segment.version)
    change = proposals.Changed(segment.environment, "segment", segment.key)
    amendment = proposals.amended(request, change) if is_editor else None
    if amendment is not None:
        editing.document = _document_of({**segment_resource(segment), **amendment.patch})
    confirm: Reach | None = None
    fingerprint = ""
    if request.method == "POST":
        if not is_editor:
            raise PermissionDenied
        editing = DocumentEdit.sent(request, stored)
        changed: dict[str, Any] = {}
        try:
            changed = editing.changes(SegmentSerializer)
            if amendment is not None:
                return proposals.amend(request, change, changed)
            # What others have to agree to first is served to nobody yet: their page says whom it reaches.
            fingerprint = "" if proposals.is_wanted(request) else editing.confirmation(request, changed)
            if fingerprint:
                before, after = services.check_segment_change(
                    environment=segment.environment, key=segment.key, payload=changed, version=editing.version
                )
                foreseen = reach_of_segment(segment, before, after)
                confirm = foreseen if foreseen.is_asked else None
            if confirm is None:
                write = partial(
                    services.update_segment,
                    actor=console_context(request).actor,
                    environment=segment.environment,
                    key=segment.key,
                    payload=changed,
                    version=editing.version,
                    reason=editing.reason,
                )
                proposals.attempted(request, write, segment.environment)
                messages.success(request, "Saved. Every rule that asks for it follows within a second.")
                return redirect(list_url(segment))
        except ServiceError as error:
            if error.problems[0].code == "version_conflict" and amendment is None:
                current = error.extra["current"]
                editing.merge(_document_of(current), current["version"], changed, _entries(segment))
            elif (made := editing.refused(request, error)) is not None:
                return made
    return _page(
        request,
        segment.environment,
        editing,
        title=segment.name,
        confirm=confirm,
        confirmed=fingerprint,
        amendment=amendment,
        may_edit=is_editor,
        segment=segment,
        users=segment_users(segment),
        remove_url=REMOVAL.url(request, segment),
    )


def preview(request: HttpRequest, environment: Environment) -> HttpResponse:
    """What the form says in words, and whom it would bring in or put out; for whoever may look."""
    editing = DocumentEdit.sent(request)
    key = request.POST.get("key") or str(editing.document.get("key") or "")
    stored = Segment.objects.filter(environment=environment, key=key).first()
    shown: dict[str, Any] = {}
    try:
        sent = editing.checked(SegmentSerializer)
        after = {"included": [], "excluded": [], "conditions": None, "name": key, **sent}
        after |= {"key": key or "new-segment", "version": 1}
        decode_segment(after)
    except ServiceError as error:
        shown["problems"] = error.problems
    except DecodeError as error:
        shown["problems"] = [Problem(problem.path, problem.code, problem.message) for problem in error.problems]
    else:
        before = segment_document(stored) if stored else None
        shown = {
            "sentence": describe_tree(after["conditions"]) if after["conditions"] else "",
            "after": after,
            "is_new": stored is None,
        }
        if stored is not None:
            resource = segment_resource(stored)
            shown["phases"] = phases_begun_by_segment(environment, resource, {**resource, **sent})
        try:
            shown["found"] = membership(environment, before, after)
        except OperationalError:
            shown["is_away"] = True
    return render(request, "flags/segment_preview.html", shown)


def _consequence_of_removal(segment: Segment) -> str:
    users = segment_users(segment)
    if users:
        return f"It cannot go yet, it is used by: {', '.join(users)}. Take it out there first."
    return f"Nothing in {segment.environment} asks for it, so nobody gets anything else. It cannot be brought back."


REMOVAL: Removal[Segment] = Removal(
    may=may_edit,
    consequence=_consequence_of_removal,
    delete=lambda actor, segment, reason: services.delete_segment(
        actor=actor, environment=segment.environment, key=segment.key, reason=reason
    ),
    is_served=True,
)


def _page(
    request: HttpRequest, environment: Environment, editing: DocumentEdit, *, title: str, **shown: Any
) -> HttpResponse:
    segment: Segment | None = shown.get("segment")
    others = search_segments(environment).exclude(key=segment.key if segment else None)
    return console_page(
        request,
        "flags/segment.html",
        title=title,
        status=editing.status,
        place=environment,
        edit=editing,
        form=_fields_of(editing.document),
        operators=conditions.offered(),
        kinds=conditions.KINDS.items(),
        attributes=BUILT_IN,
        segments=list(others.values_list("key", flat=True)[:500]),
        attributes_url=in_environment("admin:flags_flagconfig_attributes", environment),
        preview_url=in_environment("admin:flags_segment_preview", environment),
        list_url=list_url(Segment, environment=environment),
        **shown,
    )


def _document_of(resource: dict[str, Any]) -> dict[str, Any]:
    """What the page would collect of a stored segment."""
    return {name: resource[name] for name in _SHAPE if name != "key"}


def _fields_of(document: dict[str, Any]) -> dict[str, Any]:
    """What `flags/segment.html` fills its fields with, whatever was sent."""
    segment: dict[str, Any] = shaped(document, _SHAPE)
    tree = segment["conditions"]
    return {
        **segment,
        "included": "\n".join(segment["included"]),
        "excluded": "\n".join(segment["excluded"]),
        "conditions": as_json(tree) if tree else "",
    }


def _entries(segment: Segment) -> QuerySet[Entry]:
    """The segment's in the audit log."""
    return Entry.objects.filter(
        organization_id=segment.environment.project.organization_id,
        entity_type="segment",
        entity_key=segment.key,
        environment=segment.environment.key,
    )
