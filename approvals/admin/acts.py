"""The pages before an act on a change request: publish, publish in an emergency, cancel, rebase, undo."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from approvals import services
from approvals.models import ChangeRequest
from approvals.operations import get_operation
from approvals.services.trials import bases_of, clashes_of
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm, RequiredReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import object_url
from tenancy.errors import Conflict

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
    "It is served in {} without the approvals that its policy asks for, and in a freeze too. Everybody who may approve "
    "is told. A review is owed afterwards, and stays in Needs attention until somebody else gives it. An objection "
    "still blocks it.",
    _hurry,
    tone="danger",
    form=RequiredReasonForm,
    reason_label="What is the emergency?",
)
cancel = _act("Cancel “{}”?", "Cancel the request", "It is kept with its reviews, and blocks nothing in {}.", _cancel)
revert = _act(
    "Undo “{}”?",
    "Propose to undo it",
    "A new request brings back what {} served before. It asks for the same approvals as any change.",
    _revert,
)


class RebaseForm(ReasonForm):
    """`values` is asked for where somebody else has changed the same fields."""

    values = forms.ChoiceField(
        choices=[("mine", "The request's values"), ("theirs", "What is there now")],
        error_messages={"required": "Choose which values are to be served."},
    )


def rebase(request: HttpRequest, thing: ChangeRequest) -> HttpResponse:
    """Build the request on what is there now. Where both changed the same, a person chooses whose values win."""
    clashes = clashes_of(thing.changes, thing.bases, bases_of(thing.environment, thing.changes))

    def act(sent: dict[str, Any]) -> str:
        principal = console_context(request).principal
        if sent.get("values") == "theirs":
            services.update_request(
                principal=principal,
                request=thing,
                payload={"changes": _without(thing, clashes)},
                version=thing.version,
            )
        else:
            services.rebase_request(principal=principal, request=thing, keep=sent.get("values") == "mine")
        return "It is built on what is there now. Approvals count where exactly the same is served."

    return ConfirmPage(
        title=f"Build “{thing.title}” on what is there now?",
        submit="Build it on that",
        act=act,
        cancel_url=object_url(thing),
        intro="Approvals stay only where exactly the same would be served.",
        tone="warn" if clashes else "",
        form=RebaseForm if clashes else ReasonForm,
        template="approvals/rebase.html",
        shown={"clashes": clashes},
    ).answer(request)


def _without(thing: ChangeRequest, clashes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the changes without what somebody else has decided otherwise. Raises Conflict if nothing is left."""
    left = []
    for change in thing.changes:
        # Of several changes of one thing none may bring back what another of them gives up.
        is_about = change["action"] != "import"
        fields = {clash["field"] for clash in clashes if is_about and clash["resource"] == change["resource"]}
        patch = {name: value for name, value in change["patch"].items() if name not in fields}
        is_whole = not get_operation(change["resource"]["type"], change["action"], attr="resource").sets_fields
        if fields and (is_whole or "*" in fields or not patch):
            continue
        left.append({**change, "patch": patch, "baseVersion": None})
    if not left:
        raise Conflict("Nothing of the request would be left. Cancel it instead.", code="nothing_left", attr="values")
    return left
