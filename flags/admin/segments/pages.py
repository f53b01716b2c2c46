"""Segments: audiences with a name, put together out of lists and nested groups of conditions."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from openflagship.engine import DecodeError, decode_segment

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
from tenancy.console_kit.conflicts import notice_of
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import may_edit
from tenancy.console_kit.pages import console_page, list_url
from tenancy.console_kit.removal import Removal
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


def create(request: HttpRequest, environment: Environment) -> HttpResponse:
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
            return redirect(list_url(Segment))
    return _show(request, environment, form, status=status, title=f"New segment in {environment}")


def edit(request: HttpRequest, segment: Segment) -> HttpResponse:
    is_editor = may_edit(request, segment)
    form = SegmentForm.of(segment_document(segment))
    shown: dict[str, Any] = {"version": segment.version, "base": form.payload()}
    status = 200
    if request.method == "POST":
        if not is_editor:
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
            return redirect(list_url(Segment))
    shown["base"] = json.dumps(shown["base"])
    return _show(
        request,
        segment.environment,
        form,
        status=status,
        title=segment.name,
        segment=segment,
        users=segment_users(segment),
        may_edit=is_editor,
        remove_url=REMOVAL.url(request, segment),
        **shown,
    )


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
)


def _show(
    request: HttpRequest,
    environment: Environment,
    form: SegmentForm,
    *,
    status: int,
    title: str,
    **shown: Any,
) -> HttpResponse:
    own = form.key if "segment" in shown else None
    return console_page(
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
        list_url=list_url(Segment),
        **{"may_edit": True, **shown},
    )


def preview(request: HttpRequest, environment: Environment) -> HttpResponse:
    """What the form says in words, and whom it would bring in or put out; for whoever may look."""
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
