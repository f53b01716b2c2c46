"""One change request in the console: what it would serve, its reviews, its history and the form of its own fields."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from approvals import people, services
from approvals.admin.desk import freeze_sentences
from approvals.admin.parts import parts_of
from approvals.answers import request_resource
from approvals.api.serializers import ChangeRequestBodySerializer
from approvals.models import ChangeRequest, Policy, Review
from approvals.rules.rebasing import moved
from approvals.selectors import policy_of, requests_in
from approvals.services.trials import bases_of
from audit.actions import label_of
from audit.models import Entry
from tenancy.api.documents import checked
from tenancy.console_kit.context import console_context
from tenancy.console_kit.forms import TypedJSONField, form_page, sent_data
from tenancy.console_kit.instants import InstantField, TypedInstant
from tenancy.console_kit.pages import console_page, object_url
from tenancy.errors import ServiceError
from tenancy.models import Environment
from tenancy.roles import Role

_State, _Verdict = ChangeRequest.State, Review.Verdict
_MOST_ENTRIES: Final = 50


def show(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
    if request.method == "POST":
        raise PermissionDenied
    return shown(request, thing)


def shown(
    request: HttpRequest,
    thing: ChangeRequest,
    *,
    status: int = 200,
    text: str = "",
    refusal: ServiceError | None = None,
) -> HttpResponse:
    """The request's page. `text` is what somebody typed and could not send, and `refusal` why."""
    resource = request_resource(thing)
    may = _may(request, thing, has_missing=bool(resource["missing"]))
    is_waiting = thing.state in {_State.DRAFT, _State.OPEN}
    return console_page(
        request,
        "approvals/request.html",
        title=thing.title,
        status=status,
        thing=thing,
        resource=resource,
        parts=parts_of(thing, may_edit=may["may_edit"]),
        is_moved=is_waiting and _is_moved(thing),
        frozen=freeze_sentences(thing.environment, console_context(request).actor) if is_waiting else [],
        is_due=thing.publish_at is not None and thing.publish_at > timezone.now(),
        history=_history(thing),
        typed=text,
        problems=[problem.detail for problem in refusal.problems] if refusal is not None else [],
        **may,
    )


def _is_moved(thing: ChangeRequest) -> bool:
    """Whether what it changes has changed since, under whichever fields."""
    now = bases_of(thing.environment, thing.changes)
    return any(moved(base, current) for base, current in zip(thing.bases, now, strict=True))


def _history(thing: ChangeRequest) -> list[dict[str, Any]]:
    entries = Entry.objects.filter(
        organization_id=thing.environment.project.organization_id,
        entity_type="change_request",
        entity_key=str(thing.pk),
    )
    return [{"entry": entry, "label": label_of(entry.action)} for entry in entries.order_by("-id")[:_MOST_ENTRIES]]


def _may(request: HttpRequest, thing: ChangeRequest, *, has_missing: bool) -> dict[str, Any]:
    """What this person may do with the request as it stands."""
    context = console_context(request)
    user = people.user_of(context.actor)
    is_open, is_draft = thing.state == _State.OPEN, thing.state == _State.DRAFT
    is_editor, is_admin = context.may(Role.EDITOR, thing.environment), context.may(Role.ADMIN, thing.environment)
    is_author = thing.author_id is not None and thing.author_id == context.principal.user_id
    is_mine = (is_author and is_editor) or is_admin
    verdicts = [review.verdict for review in thing.reviews.all() if user is not None and review.reviewer_id == user.pk]
    said = [verdict for verdict in verdicts if verdict != _Verdict.COMMENT]
    is_reviewed = is_open or thing.is_review_owed
    places = _places(thing) if is_reviewed else []
    may_say = any(people.may_object(user, place, policy) for place, policy in places)
    may_approve = any(
        people.may_approve(user, place, policy) and (policy.is_own_approval_allowed or not is_author)
        for place, policy in places
    )
    emergency = policy_of(thing.environment).emergency_roles if is_open and is_editor and has_missing else []
    return {
        "may_approve": may_approve,
        "may_object": may_say,
        "may_withdraw": may_say and bool(said) and said[-1] == _Verdict.OBJECT,
        "may_publish": is_open and is_editor,
        "is_ready": is_open and not has_missing,
        "may_edit": is_mine and (is_open or is_draft),
        "may_rebase": is_editor and (is_open or is_draft),
        "may_revert": thing.state == _State.PUBLISHED and is_editor,
        "may_hurry": bool(emergency) and people.is_among(user, thing.environment, roles=emergency),
    }


def _places(thing: ChangeRequest) -> list[tuple[Environment, Policy]]:
    """Return the environments whose reviewers have a say, each with its policy."""
    keys = {thing.environment.key, *(ask["environment"] for ask in thing.asks)}
    found = thing.environment.project.environments.filter(key__in=keys).select_related("project__organization")
    return [(place, policy_of(place)) for place in found]


def review(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
    """Take a verdict or a comment from the request's page."""
    verdict, text = request.POST.get("verdict", ""), request.POST.get("text", "").strip()
    if request.method != "POST" or verdict not in _Verdict.values:
        raise PermissionDenied
    try:
        done = services.review_request(
            principal=console_context(request).principal,
            request=thing,
            verdict=verdict,
            text=text[:10_000],
            content=request.POST.get("content", ""),
        )
    except ServiceError as error:
        return shown(request, thing, status=409 if error.status == 409 else 422, text=text, refusal=error)
    said = {"approve": "Approved.", "object": "You object.", "withdraw": "Your objection is taken back."}
    messages.success(
        request, "Published." if done.state == _State.PUBLISHED else said.get(verdict, "Your comment is there.")
    )
    return redirect(object_url(thing))


class EditForm(forms.Form):
    """The request's own fields. What it changes is edited where it was proposed, or here as data."""

    title = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(required=False, max_length=10_000, widget=UnfoldAdminTextareaWidget)
    at = InstantField(label="Publish at", help_text="Empty: when somebody publishes it.")
    publish_when_approved = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Publish it by itself as soon as nothing is missing.",
    )
    draft = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget, help_text="Nobody reviews a draft.")
    changes = TypedJSONField(widget=UnfoldAdminTextareaWidget, help_text="As the API takes them.")
    version = forms.IntegerField(widget=forms.HiddenInput)


_NAMES = {"publishWhenApproved": "publish_when_approved"}


def edit(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
    initial = {
        "title": thing.title,
        "description": thing.description,
        "at": TypedInstant.of(thing.publish_at),
        "publish_when_approved": thing.is_automatic,
        "draft": thing.state == _State.DRAFT,
        "changes": thing.changes,
        "version": thing.version,
    }

    def perform(sent: dict[str, Any]) -> HttpResponse:
        payload = {name: sent[name] for name in ("title", "description", "draft")}
        payload["publishWhenApproved"] = sent["publish_when_approved"]
        if sent["at"] != thing.publish_at:
            payload["at"] = sent["at"]
        if sent["changes"] != thing.changes:
            payload["changes"] = sent["changes"]
        payload = checked(ChangeRequestBodySerializer, payload)
        services.update_request(
            principal=console_context(request).principal, request=thing, payload=payload, version=sent["version"]
        )
        messages.success(request, "Saved.")
        return redirect(object_url(thing))

    return form_page(
        request,
        EditForm(sent_data(request), initial=initial),
        perform,
        title=f"Edit “{thing.title}”",
        submit="Save",
        cancel_url=object_url(thing),
        names=_NAMES,
    )


def visible(request: HttpRequest, found: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:
    """Those of the person's environments, and those that ask for a review there."""
    here = requests_in(console_context(request).environments).order_by().values("pk")
    return (
        found.filter(pk__in=here)
        .select_related("environment__project__organization", "author")
        .prefetch_related("reviews__reviewer")
    )
