"""Erasing or exporting a person's data in the console, with the progress and the report of each job."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenancy import access
from tenancy.api.privacy import export_file
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.routes import Route
from tenancy.models import Organization, PrivacyJob
from tenancy.privacy.jobs import request_privacy_job
from tenancy.privacy.people import USER_ID
from tenancy.roles import Role

_ACTS = ((PrivacyJob.Act.EXPORT, "Export: make a file"), (PrivacyJob.Act.ERASE, "Erase: for good"))
_TONES = {"waiting": "info", "running": "info", "done": "success", "failed": "danger"}


class PersonForm(forms.Form):
    organization = forms.ModelChoiceField(Organization.objects.none(), widget=UnfoldAdminSelectWidget)
    act = forms.ChoiceField(choices=_ACTS, widget=UnfoldAdminSelectWidget)
    kind = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="The attribute that has the id: userId, or another one that flags bucket by, such as companyId.",
    )
    person_id = forms.CharField(label="Id", max_length=1024, widget=UnfoldAdminTextInputWidget)
    confirm = forms.CharField(
        required=False,
        max_length=1024,
        label="To erase, the id once more",
        widget=UnfoldAdminTextInputWidget,
        help_text="What is erased cannot be brought back.",
    )

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        if sent.get("act") == PrivacyJob.Act.ERASE and sent.get("person_id") != sent.get("confirm"):
            self.add_error("confirm", "Type the same id once more.")
        return sent


def _administered(request: HttpRequest) -> list[int]:
    context = console_context(request)
    return [pk for pk in context.organization_roles if context.may_in(Role.ADMIN, pk)]


def download(request: HttpRequest, job: PrivacyJob) -> HttpResponse:
    if request.method != "GET":
        raise PermissionDenied
    if not job.has_file:
        raise Http404("The job has no file.")
    return export_file(job)


@admin.register(PrivacyJob)
class PrivacyJobAdmin(ConsoleAdmin):
    """Jobs on a person's data, for admins of the whole organization, as over the API."""

    list_display = ["when", "act", "kind", "short_trace", "status", "progress", "requested_by"]
    list_display_links = ["when"]
    search_fields = ["trace"]
    search_help_text = "Search by the keyed hash, as in the audit log"
    empty = EmptyList(
        "Nobody has been erased or exported yet",
        "Where a person asks what is stored of them, or asks to be forgotten, a job looks in every place: events, "
        "targets, segments, rules, their history and the audit log.",
        "Export or erase a person",
    )
    routes = (Route("<path:object_id>/file/", "file", download),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PrivacyJob]:
        return super().get_queryset(request).filter(organization__in=_administered(request)).defer("file")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    @display(description="Asked for", ordering="created_at")
    def when(self, job: PrivacyJob) -> str:
        return moment(job.created_at)

    @display(description="Keyed hash")
    def short_trace(self, job: PrivacyJob) -> str:
        return f"{job.trace[:12]}…"

    @display(description="State", label={"done": "success", "failed": "danger", "waiting": "info", "running": "info"})
    def status(self, job: PrivacyJob) -> tuple[str, str]:
        return job.state, job.get_state_display()

    @display(description="Steps")
    def progress(self, job: PrivacyJob) -> str:
        return f"{job.done} of {job.total}"

    def create(self, request: HttpRequest) -> HttpResponse:
        context = console_context(request)
        choices = access.organizations(context.principal).filter(pk__in=_administered(request))
        form = PersonForm(sent_data(request), initial={"organization": choices.first(), "kind": USER_ID})
        form.fields["organization"].queryset = choices  # type: ignore[attr-defined]  # it is a ModelChoiceField

        def perform(sent: dict[str, Any]) -> HttpResponse:
            job = request_privacy_job(
                actor=context.actor,
                organization=sent["organization"],
                act=sent["act"],
                kind=sent["kind"],
                person_id=sent["person_id"],
            )
            return redirect(object_url(job))

        return form_page(
            request,
            form,
            perform,
            title="Export or erase a person",
            submit="Begin",
            cancel_url=list_url(PrivacyJob),
            names={"id": "person_id"},
            intro="A job looks in every environment of the organization. Its page shows how far it is, and its finds.",
        )

    def show(self, request: HttpRequest, thing: PrivacyJob) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        return console_page(
            request,
            "tenancy/privacy_job.html",
            title=f"{thing.get_act_display()} a person",
            job=thing,
            tone=_TONES[thing.state],
            is_over=thing.state in {PrivacyJob.State.DONE, PrivacyJob.State.FAILED},
            share=thing.done / thing.total if thing.total else 1,
            list_url=list_url(thing),
        )
