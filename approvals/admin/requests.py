"""Change requests in the console: the list, one request with what it would serve, its reviews, and its acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from approvals import people, services
from approvals.answers import request_resource
from approvals.models import ChangeRequest, Review
from approvals.selectors import policy_of
from approvals.services.standing import missing_of
from audit.services import diff
from flags.admin.flag.sentences import describe
from flags.admin.reach import Reach, reach_of_flag
from tenancy.console_kit.changes import BOOKKEEPING
from tenancy.console_kit.confirm import ConfirmPage, RequiredReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.forms import form_page, say_problems, sent_data
from tenancy.console_kit.instants import InstantField, TypedInstant
from tenancy.console_kit.pages import console_page, object_url
from tenancy.errors import ServiceError
from tenancy.roles import Role

_State, _Verdict = ChangeRequest.State, Review.Verdict


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One thing that the request changes: field by field, in sentences, and whom it reaches."""

    environment: str
    kind: str
    key: str
    changes: list[dict[str, Any]]
    sentences: list[str]
    reach: Reach | None


def show(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
    if request.method == "POST":
        raise PermissionDenied
    return shown(request, thing)


def shown(request: HttpRequest, thing: ChangeRequest, *, status: int = 200, text: str = "") -> HttpResponse:
    """The request's page. `text` is what somebody typed and could not send."""
    resource = request_resource(thing)
    return console_page(
        request,
        "approvals/request.html",
        title=thing.title,
        status=status,
        thing=thing,
        resource=resource,
        parts=[_part(thing, part) for part in thing.parts],
        typed=text,
        **_may(request, thing),
    )


def _part(thing: ChangeRequest, part: Mapping[str, Any]) -> ShownPart:
    before, after = ({**(part[state] or {}), **part[beside]} for state, beside in _STATES)
    changes = [change for change in diff(before, after) if change["path"] not in BOOKKEEPING]
    is_flag = part["entity"] == "flag" and part["after"] is not None
    is_waiting = thing.state in {_State.DRAFT, _State.OPEN}
    reach = None
    if is_flag and part["before"] is not None and is_waiting and part["environment"] == thing.environment.key:
        reach = reach_of_flag(thing.environment, part["before"], part["after"], is_shown=True)
        # The page asks for nothing: whoever reads it decides by its figures.
        reach = replace(reach, phases=()) if reach.is_nothing else reach
    return ShownPart(
        part["environment"],
        part["entity"],
        part["key"],
        changes,
        describe(part["after"]) if is_flag else [],
        reach,
    )


_STATES = (("before", "presentation_before"), ("after", "presentation"))


def _may(request: HttpRequest, thing: ChangeRequest) -> dict[str, Any]:
    """What this person may do with the request as it stands."""
    context = console_context(request)
    user = people.user_of(context.actor)
    policy = policy_of(thing.environment)
    is_open, is_draft = thing.state == _State.OPEN, thing.state == _State.DRAFT
    is_editor, is_admin = context.may(Role.EDITOR, thing.environment), context.may(Role.ADMIN, thing.environment)
    is_author = thing.author_id is not None and thing.author_id == context.principal.user_id
    is_mine = (is_author and is_editor) or is_admin
    verdicts = [review.verdict for review in thing.reviews.all() if user is not None and review.reviewer_id == user.pk]
    said = [verdict for verdict in verdicts if verdict != _Verdict.COMMENT]
    may_say = (is_open or thing.is_review_owed) and people.may_object(user, thing.environment, policy)
    return {
        "may_approve": (is_open or thing.is_review_owed)
        and people.may_approve(user, thing.environment, policy)
        and (policy.is_own_approval_allowed or not is_author),
        "may_object": may_say,
        "may_withdraw": may_say and bool(said) and said[-1] == _Verdict.OBJECT,
        "may_publish": is_open and is_editor,
        "is_ready": is_open and not missing_of(thing),
        "may_edit": is_mine and (is_open or is_draft),
        "may_revert": thing.state == _State.PUBLISHED and is_editor,
        "may_hurry": is_open
        and is_editor
        and bool(missing_of(thing))
        and people.is_among(user, thing.environment, roles=policy.emergency_roles),
    }


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
            content=request.POST.get("content") or None,
        )
    except ServiceError as error:
        say_problems(request, error)
        return shown(request, thing, status=409 if error.status == 409 else 422, text=text)
    said = {"approve": "Approved.", "object": "You object.", "withdraw": "Your objection is taken back."}
    messages.success(
        request, "Published." if done.state == _State.PUBLISHED else said.get(verdict, "Your comment is there.")
    )
    return redirect(object_url(thing))


# -- Acts -----------------------------------------------------------------------------------------------------------

Act = Callable[[HttpRequest, ChangeRequest, dict[str, Any]], str | HttpResponse]


def _act(title: str, submit: str, intro: str, act: Act, **options: Any) -> Callable[..., HttpResponse]:
    """Make the page before an act on a request."""

    def page(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
        return ConfirmPage(
            title=title.format(thing.title),
            submit=submit,
            act=lambda sent: act(request, thing, sent),
            cancel_url=object_url(thing),
            intro=intro.format(thing.environment.name),
            **options,
        ).answer(request)

    return page


def _publish(request: HttpRequest, thing: ChangeRequest, _sent: dict[str, Any]) -> str:
    services.publish_request(principal=console_context(request).principal, request=thing)
    return "Published: it is served within a second."


def _hurry(request: HttpRequest, thing: ChangeRequest, sent: dict[str, Any]) -> str:
    services.emergency_publish(principal=console_context(request).principal, request=thing, reason=sent["reason"])
    return "Published. A review is owed, and everybody concerned is told."


def _cancel(request: HttpRequest, thing: ChangeRequest, sent: dict[str, Any]) -> str:
    services.cancel_request(principal=console_context(request).principal, request=thing, reason=sent["reason"])
    return "Cancelled: it blocks nothing any more."


def _rebase(request: HttpRequest, thing: ChangeRequest, _sent: dict[str, Any]) -> str:
    services.rebase_request(principal=console_context(request).principal, request=thing, keep=True)
    return "It is built on what is served now. What others approved was another content."


def _revert(request: HttpRequest, thing: ChangeRequest, _sent: dict[str, Any]) -> HttpResponse:
    made = services.revert_request(principal=console_context(request).principal, request=thing)
    messages.success(request, "This request undoes the other once it is published.")
    return redirect(object_url(made))


publish = _act(
    "Publish “{}”?", "Publish", "All of it is served in {} at once, in one transaction.", _publish, tone="warn"
)
hurry = _act(
    "Publish “{}” in an emergency?",
    "Publish without the approvals",
    "It is served in {} without the approvals that its policy asks for. Everybody who may approve is told, and a "
    "review is owed afterwards.",
    _hurry,
    tone="danger",
    form=RequiredReasonForm,
    reason_label="What is the emergency?",
)
cancel = _act("Cancel “{}”?", "Cancel the request", "It is kept with its reviews, and blocks nothing in {}.", _cancel)
rebase = _act(
    "Build “{}” on what is there now?",
    "Let this request's values win",
    "Somebody has changed the same in {} since. With this, the request's values replace theirs once it is published. "
    "Approvals of the former content do not count.",
    _rebase,
    tone="warn",
)
revert = _act(
    "Undo “{}”?",
    "Propose to undo it",
    "A new request brings back what {} served before. It asks for the same.",
    _revert,
)


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
    changes = forms.JSONField(widget=UnfoldAdminTextareaWidget, help_text="As the API takes them.")
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
    """Those of the person's environments."""
    here = [environment.pk for environment in console_context(request).environments]
    return (
        found.filter(environment__in=here)
        .select_related("environment__project__organization", "author")
        .prefetch_related("reviews__reviewer")
    )
