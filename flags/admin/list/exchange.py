"""An environment as a file: exported, and imported after a page has said what that changes."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from openflagship.wire.bodies import read_json, write_json
from openflagship.wire.errors import RefusedError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from flags import services
from flags.api.exchange_serializers import ImportSerializer
from flags.exchange import export
from flags.exchange.formats import FORMATS
from flags.exchange.reading import read_export
from flags.models import FlagConfig
from flags.services.imports import ImportReport
from tenancy.api.documents import checked
from tenancy.console_kit import proposals
from tenancy.console_kit.context import console_context
from tenancy.console_kit.forms import add_problems, sent_data
from tenancy.console_kit.pages import console_page, in_environment, list_url
from tenancy.errors import ServiceError
from tenancy.models import Environment

_MOST_SAID = 20


class ImportForm(forms.Form):
    """`text` carries the file's text from the page that shows what it changes to the import itself."""

    format = forms.ChoiceField(
        label="Written by",
        choices=[(export.FORMAT, "FlagShip"), *((name, name.capitalize()) for name in FORMATS)],
        widget=UnfoldAdminSelectWidget,
    )
    file = forms.FileField(label="File", required=False, help_text="JSON, as it was exported.")
    source_environment = forms.CharField(
        label="Its environment",
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Which environment of another product's file; empty where it has one.",
    )
    keeps_existing = forms.BooleanField(label="Leave alone what is there already", required=False)
    text = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        sent = found.get("file")
        try:
            content = sent.read() if sent else found.get("text", "").encode()
            document = read_json(content) if content else None
        except (RefusedError, UnicodeEncodeError):
            self.add_error("file", "This is no JSON. Choose the file as it was exported.")
            return found
        if not isinstance(document, dict):
            self.add_error("file", "Choose the exported file.")
        # On one line: browsers make two characters of each end of a line.
        return {**found, "text": write_json(document).decode(), "document": document}

    def body(self) -> dict[str, Any]:
        """Return the import as the API takes it."""
        sent = self.cleaned_data
        found = {"format": sent["format"], "data": sent["document"], "keepExisting": sent["keeps_existing"]}
        return found | ({"sourceEnvironment": sent["source_environment"]} if sent["source_environment"] else {})


def export_file(request: HttpRequest, environment: Environment) -> HttpResponse:  # noqa: ARG001 - as each page's
    name = f"{environment.project.key}-{environment.key}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return JsonResponse(export.export_environment(environment), headers=headers)


def import_page(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Take a file, show what it changes, and import it once that is confirmed."""
    form = ImportForm(sent_data(request), request.FILES or None)
    shown: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        is_confirmed = "confirmed" in request.POST
        try:
            if is_confirmed:
                return proposals.attempted(request, lambda: _import(request, environment, form.body()), environment)
            shown = _foreseen(request, environment, form)
        except ServiceError as error:
            if (made := _refused(request, form, error)) is not None:
                return made
            if proposals.is_proposable(error):
                # The page that it was confirmed on, with the button that asks for approval.
                shown = {**_foreseen(request, environment, form), "is_proposable": True}
    return console_page(
        request,
        "flags/import.html",
        title=f"Import into {environment}",
        status=409 if "is_proposable" in shown else 422 if form.errors else 200,
        form=form,
        place=environment,
        action_url=in_environment("admin:flags_flagconfig_import", environment),
        list_url=list_url(FlagConfig, environment=environment),
        **shown,
    )


def _import(request: HttpRequest, environment: Environment, body: Mapping[str, Any]) -> HttpResponse:
    _say(request, _imported(request, environment, body, is_dry_run=False))
    return redirect(list_url(FlagConfig, environment=environment))


def _foreseen(request: HttpRequest, environment: Environment, form: ImportForm) -> dict[str, Any]:
    report = _imported(request, environment, form.body(), is_dry_run=True)
    return {"report": report, "text": form.cleaned_data["text"]}


def _refused(request: HttpRequest, form: ImportForm, error: ServiceError) -> HttpResponse | None:
    """Ask for approval where the person wants that; else put what is wrong beside the fields."""
    made, refusal = proposals.answered(request, error)
    if made is None:
        add_problems(form, refusal, {"data": "file", "sourceEnvironment": "source_environment"})
    return made


def _imported(
    request: HttpRequest, environment: Environment, body: Mapping[str, Any], *, is_dry_run: bool
) -> ImportReport:
    sent = checked(ImportSerializer, dict(body))
    data, notes = read_export(sent)
    report = services.import_environment(
        actor=console_context(request).actor,
        environment=environment,
        data=data,
        is_dry_run=is_dry_run,
        keeps_existing=sent.get("keepExisting", False),
    )
    report.notes = notes
    return report


def _say(request: HttpRequest, report: ImportReport) -> None:
    done = f"{len(report.created):,} created, {len(report.updated):,} changed, {len(report.unchanged):,} as they were."
    messages.success(request, f"Imported: {done}")
    for item in report.skipped[:_MOST_SAID]:
        why = " ".join(problem["detail"] for problem in item["problems"])
        messages.warning(request, f"Left out: {item['entity']} {item['key'] or ''}. {why}")
