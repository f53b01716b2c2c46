"""An environment as a file: exported, and imported after a page has said what that changes."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from openflagship.wire.bodies import read_json
from openflagship.wire.errors import RefusedError
from redis.exceptions import RedisError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from flags import services
from flags.admin.list.kept_files import forget_file, keep_file, kept_file
from flags.admin.reach import reach_of_many, unknown_reach
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
from tenancy.models import Environment, User

_MOST_SAID = 20


class ImportForm(forms.Form):
    """`kept` names the file, and `version` the environment's, that the page was about which showed what is changed."""

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
    kept = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, environment: Environment) -> None:
        super().__init__(*args)
        self._user, self._environment = user, environment

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        try:
            content = self._content(found.get("file"), found.get("kept", ""))
            document = read_json(content) if content else None
        except RedisError:
            self.add_error(
                "file", "Redis cannot be reached, and keeps the file meanwhile. Use the API, or try again later."
            )
            return found
        except RefusedError:
            self.add_error("file", "This is no JSON. Choose the file as it was exported.")
            return found
        if not isinstance(document, dict) and not self.errors:
            self.add_error("file", "Choose the exported file.")
        return {**found, "document": document}

    def _content(self, sent: UploadedFile | None, kept: str) -> bytes | None:
        if sent is not None:
            if (sent.size or 0) > settings.MAX_IMPORT_BODY_BYTES:
                self.add_error("file", f"At most {settings.MAX_IMPORT_BODY_BYTES // 2**20} MB.")
                return None
            content: bytes = sent.read()
            self.fingerprint = keep_file(self._user, self._environment, content) if content else ""
            return content
        self.fingerprint = kept
        content_kept = kept_file(self._user, self._environment, kept) if kept else None
        if kept and content_kept is None:
            self.add_error("file", "The file was kept for an hour, or until you chose another one. Choose it again.")
        return content_kept

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
    user = cast(User, request.user)
    form = ImportForm(sent_data(request), request.FILES or None, user=user, environment=environment)
    shown: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        is_confirmed = form.cleaned_data["version"] is not None
        try:
            if is_confirmed:
                return proposals.attempted(request, lambda: _import(request, environment, form), environment)
            shown = _foreseen(request, environment, form)
        except ServiceError as error:
            if (made := _refused(request, form, error)) is not None:
                return made
            if proposals.is_proposable(error):
                # The page that it was confirmed on, with the button that asks for approval.
                shown = {**_foreseen(request, environment, form), "is_proposable": True}
            elif error.problems[0].code == "version_conflict":
                shown = {**_foreseen(request, environment, form), "is_proposable": False}
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


def _import(request: HttpRequest, environment: Environment, form: ImportForm) -> HttpResponse:
    version = form.cleaned_data["version"]
    _say(request, _imported(request, environment, form.body(), is_dry_run=False, version=version))
    with suppress(RedisError):  # It ends by itself.
        forget_file(cast(User, request.user))
    return redirect(list_url(FlagConfig, environment=environment))


def _foreseen(request: HttpRequest, environment: Environment, form: ImportForm) -> dict[str, Any]:
    # Read first: what is changed while the report is made then asks for another look.
    version = Environment.objects.values_list("config_version", flat=True).get(pk=environment.pk)
    compared: dict[str, tuple[Any, Any]] = {}
    report = _imported(request, environment, form.body(), is_dry_run=True, compared=compared)
    unknown = [(key, said) for key, (was, now) in sorted(compared.items()) if (said := unknown_reach(was, now))]
    shown = {"unknown": unknown[:_MOST_SAID], "unknown_left_out": len(unknown[_MOST_SAID:])}
    reach = reach_of_many(environment, list(compared))
    return {"report": report, "kept": form.fingerprint, "version": version, "reach": reach, **shown}


def _refused(request: HttpRequest, form: ImportForm, error: ServiceError) -> HttpResponse | None:
    """Ask for approval where the person wants that; else put what is wrong beside the fields."""
    made, refusal = proposals.answered(request, error)
    if made is None:
        add_problems(form, refusal, {"data": "file", "sourceEnvironment": "source_environment"})
    return made


def _imported(
    request: HttpRequest,
    environment: Environment,
    body: Mapping[str, Any],
    *,
    is_dry_run: bool,
    version: int | None = None,
    compared: dict[str, tuple[Any, Any]] | None = None,
) -> ImportReport:
    sent = checked(ImportSerializer, dict(body))
    data, notes = read_export(sent)
    report = services.import_environment(
        actor=console_context(request).actor,
        environment=environment,
        data=data,
        is_dry_run=is_dry_run,
        keeps_existing=sent.get("keepExisting", False),
        version=version,
        compared=compared,
    )
    report.notes = notes
    return report


def _say(request: HttpRequest, report: ImportReport) -> None:
    done = f"{len(report.created):,} created, {len(report.updated):,} changed, {len(report.unchanged):,} as they were."
    messages.success(request, f"Imported: {done}")
    for item in report.skipped[:_MOST_SAID]:
        why = " ".join(problem["detail"] for problem in item["problems"])
        messages.warning(request, f"Left out: {item['entity']} {item['key'] or ''}. {why}")
