"""The pages of organizations, projects and environments, and of new ones for people whose role allows it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from audit.models import Entry
from tenancy import access, services
from tenancy.console_kit import conflicts
from tenancy.console_kit.admin import ConsoleAdmin, EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import list_url
from tenancy.console_kit.removal import Removal
from tenancy.documents import environment_resource, project_resource
from tenancy.models import Environment, Exposures, Organization, Project
from tenancy.roles import Role

# A page of an app above about one environment: its title and address, or None for people who may not open it.
EnvironmentLink = Callable[[HttpRequest, Environment], tuple[str, str] | None]
_environment_links: list[EnvironmentLink] = []


def register_environment_link(link: EnvironmentLink) -> None:
    """Show a link on the page where an environment is edited."""
    if link not in _environment_links:
        _environment_links.append(link)


def _document(thing: Project | Environment) -> dict[str, Any]:
    return environment_resource(thing) if isinstance(thing, Environment) else project_resource(thing)


def _entries(thing: Project | Environment) -> QuerySet[Entry]:
    """Return the audit log's entries about the thing."""
    environment = thing if isinstance(thing, Environment) else None
    project = thing.project if isinstance(thing, Environment) else thing
    return Entry.objects.filter(
        organization_id=project.organization_id,
        entity_type="environment" if environment else "project",
        entity_key=thing.key,
        project=project.key,
    )


def _edit_page(
    request: HttpRequest,
    thing: Project | Environment,
    form_class: type[forms.Form],
    update: Callable[..., Any],
    *,
    intro: str,
    remove_url: str,
) -> HttpResponse:
    """Edit a thing in a form whose fields have the names of its document. `update` raises ServiceError."""
    form = form_class(sent_data(request), initial=_document(thing))
    environment = thing if isinstance(thing, Environment) else None

    def perform(sent: dict[str, Any]) -> HttpResponse:
        update(payload={name: value for name, value in sent.items() if name != "version"}, version=sent["version"])
        messages.success(request, "Saved.")
        return redirect(list_url(thing))

    def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
        thing.refresh_from_db()
        mine = {name: value for name, value in sent.items() if name != "version"}
        merged, notice = conflicts.merge(_entries(thing), mine, _document(thing), version=sent["version"])
        return form_class(initial=merged), notice

    return form_page(
        request,
        form,
        perform,
        merge=merge,
        title=str(thing),
        submit="Save",
        cancel_url=list_url(thing),
        intro=intro,
        remove_url=remove_url,
        serves=environment,
        links=[found for link in _environment_links if environment and (found := link(request, environment))],
    )


def _add_page(
    request: HttpRequest,
    form_class: type[forms.Form],
    inside: str,
    choices: QuerySet[Any],
    perform: Callable[[dict[str, Any]], HttpResponse],
    *,
    noun: str,
) -> HttpResponse:
    """Create a thing inside one of the `choices`, which the form's field `inside` offers."""
    form = form_class(sent_data(request), initial={inside: choices.first()})
    form.fields[inside].queryset = choices  # type: ignore[attr-defined]  # it is a ModelChoiceField
    return form_page(
        request,
        form,
        perform,
        title=f"New {noun}",
        submit=f"Create {noun}",
        cancel_url=reverse(f"admin:tenancy_{noun}_changelist"),
    )


def _administered(request: HttpRequest) -> list[int]:
    """Return the organizations that this person is an admin of."""
    context = console_context(request)
    return [pk for pk in context.organization_roles if context.may_in(Role.ADMIN, pk)]


class _Dated(ConsoleAdmin):
    @display(description="Created", ordering="created_at")
    def created(self, row: Any) -> str:
        return moment(row.created_at)


@admin.register(Organization)
class OrganizationAdmin(_Dated):
    """Shows an organization to its members. Only administrators of the installation create organizations."""

    list_display = ["name", "slug", "created"]
    search_fields = ["name", "slug"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        return access.organizations(console_context(request).principal)


def _days_field(label: str, least: int, most: int, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        min_value=least,
        max_value=most,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=f"{help_text} Leave it empty for the default.",
    )


class _NamedForm(forms.Form):
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)


class ProjectChangeForm(_NamedForm):
    flagNewDays = _days_field("A flag is new for, in days", 1, 365, "As long as nobody asks for it.")  # noqa: N815 - as the service calls it
    flagUnchangedDays = _days_field("A flag may be complete after, in days", 1, 3650, "Without any change of it.")  # noqa: N815 - likewise
    flagUnusedDays = _days_field("A flag is unused after, in days", 7, 3650, "Without any evaluation of it.")  # noqa: N815 - likewise


def _exposures_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=Exposures.choices,
        initial=Exposures.ALL,
        label="Exposures that are logged",
        widget=UnfoldAdminSelectWidget,
        help_text="Of flags without a choice of their own. Experiments alone take less room; a flag then shows who got "
        "what only while an experiment runs on it.",
    )


class EnvironmentChangeForm(_NamedForm):
    isProduction = forms.BooleanField(  # noqa: N815 - as the service calls it
        required=False,
        label="Production",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Real users are served here: the console asks once more before larger changes.",
    )
    exposures = _exposures_field()


class ProjectForm(forms.Form):
    organization = forms.ModelChoiceField(Organization.objects.none(), widget=UnfoldAdminSelectWidget)
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="Lower-case letters, digits and hyphens. Scripts and the API use it; it never changes.",
    )


def _environments_of(project: Project) -> str:
    return ", ".join(environment.key for environment in project.environments.all()) or "none yet"


def _consequence_of_project(project: Project) -> str:
    if project.environments.exists():
        return f"It cannot go yet: it has environments ({_environments_of(project)}). Delete those first."
    return (
        "It is refused while it has flags, archived ones too, or metrics. What was done in it stays in the audit log. "
        "It cannot be brought back."
    )


PROJECT_REMOVAL: Removal[Project] = Removal(
    may=lambda request, project: console_context(request).may_in_project(Role.ADMIN, project),
    consequence=_consequence_of_project,
    delete=lambda actor, project, reason: services.delete_project(actor=actor, project=project, reason=reason),
)


@admin.register(Project)
class ProjectAdmin(_Dated):
    list_display = ["name", "key", "organization", "environment_list", "created"]
    list_select_related = ["organization"]
    search_fields = ["name", "key"]
    search_help_text = "Search by name or key"
    empty = EmptyList(
        "No projects yet",
        "A project holds the flags and metrics of one product or code base, in each of its environments.",
    )
    removal = PROJECT_REMOVAL

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        found = access.projects(console_context(request).principal).select_related("organization")
        return found.prefetch_related("environments").order_by("organization__slug", "key")

    @display(description="Environments")
    def environment_list(self, project: Project) -> str:
        return _environments_of(project)

    def show(self, request: HttpRequest, thing: Project) -> HttpResponse:
        remove_url = PROJECT_REMOVAL.url(request, thing)
        if not remove_url:
            return super().show(request, thing)
        update = partial(services.update_project, actor=console_context(request).actor, project=thing)
        intro = f"Key {thing.key}, in {thing.organization}. Environments: {_environments_of(thing)}."
        return _edit_page(request, thing, ProjectChangeForm, update, intro=intro, remove_url=remove_url)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def create(self, request: HttpRequest) -> HttpResponse:
        context = console_context(request)
        choices = access.organizations(context.principal).filter(pk__in=_administered(request))

        def perform(sent: dict[str, Any]) -> HttpResponse:
            project = services.create_project(actor=context.actor, **sent)
            messages.success(request, f"{project} is there. Give it an environment next, so that flags can be served.")
            return redirect("admin:tenancy_environment_add")

        return _add_page(request, ProjectForm, "organization", choices, perform, noun="project")


class EnvironmentForm(forms.Form):
    project = forms.ModelChoiceField(Project.objects.none(), widget=UnfoldAdminSelectWidget)
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="Lower-case letters, digits and hyphens, for example staging. It never changes.",
    )
    is_production = forms.BooleanField(
        required=False,
        label="Production",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Real users are served here: the console asks once more before larger changes.",
    )
    salt = forms.CharField(
        max_length=64,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Leave empty to give a user the same variant here as in the other environments. Fixed at creation.",
    )
    stores_pseudonyms = forms.BooleanField(
        required=False,
        label="Pseudonyms",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Events name users by keyed hashes alone. Results stay the same, and nobody can read an id. It never "
        "ends.",
    )
    exposures = _exposures_field()


ENVIRONMENT_REMOVAL: Removal[Environment] = Removal(
    may=lambda request, environment: console_context(request).may(Role.ADMIN, environment),
    consequence=lambda environment: (
        f"What flags are set to in {environment} goes with it, rules, segments, layers and history; the flags stay in "
        "the project's other environments. It is refused while a key is live or an experiment is here. It cannot be "
        "brought back."
    ),
    delete=lambda actor, environment, reason: services.delete_environment(
        actor=actor, environment=environment, reason=reason
    ),
)


@admin.register(Environment)
class EnvironmentAdmin(_Dated):
    list_display = ["name", "key", "project", "stage", "config_version", "created"]
    list_select_related = ["project__organization"]
    search_fields = ["name", "key", "project__name", "project__key"]
    search_help_text = "Search by name, key or project"
    empty = EmptyList(
        "No environments yet",
        "Flags are served in environments, such as production and staging: each has its own rules, shares and keys.",
    )
    removal = ENVIRONMENT_REMOVAL
    fields = [
        "project",
        "name",
        "key",
        "is_production",
        "salt",
        "stores_pseudonyms",
        "exposures",
        "config_version",
        "created",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Environment]:
        found = access.environments(console_context(request).principal).select_related("project__organization")
        return found.order_by("project__organization__slug", "project__key", "-is_production", "key")

    @display(description="Stage", label={"Production": "warning", "Other": "info"})
    def stage(self, environment: Environment) -> str:
        return "Production" if environment.is_production else "Other"

    def show(self, request: HttpRequest, thing: Environment) -> HttpResponse:
        remove_url = ENVIRONMENT_REMOVAL.url(request, thing)
        if not remove_url:
            return super().show(request, thing)
        update = partial(services.update_environment, actor=console_context(request).actor, environment=thing)
        variants = "other variants here than elsewhere" if thing.salt else "the same variants here as elsewhere"
        intro = (
            f"Key {thing.key}, in project {thing.project}; its configuration is at version {thing.config_version}. "
            f"Users get {variants}."
        )
        return _edit_page(request, thing, EnvironmentChangeForm, update, intro=intro, remove_url=remove_url)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def create(self, request: HttpRequest) -> HttpResponse:
        context = console_context(request)
        choices = access.projects(context.principal).filter(organization__in=_administered(request))

        def perform(sent: dict[str, Any]) -> HttpResponse:
            environment = services.create_environment(actor=context.actor, **sent)
            messages.success(request, f"{environment} is there; every flag of the project is switched off in it.")
            return redirect(list_url(environment))

        return _add_page(request, EnvironmentForm, "project", choices, perform, noun="environment")
