"""Organizations, projects and environments: what there is, and new ones for those whose role allows it."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from audit.models import Entry
from tenancy import access, services
from tenancy.console_kit import conflicts
from tenancy.console_kit.base import sent_data
from tenancy.console_kit.context import console_context
from tenancy.console_kit.removal import RemovableAdmin
from tenancy.documents import environment_resource, project_resource
from tenancy.instants import moment
from tenancy.models import Environment, Organization, Project, Role


def _document(thing: Project | Environment) -> dict[str, Any]:
    return environment_resource(thing) if isinstance(thing, Environment) else project_resource(thing)


def _entries(thing: Project | Environment) -> QuerySet[Entry]:
    """The thing's own in the audit log."""
    environment = thing if isinstance(thing, Environment) else None
    project = thing.project if isinstance(thing, Environment) else thing
    return Entry.objects.filter(
        organization_id=project.organization_id,
        entity_type="environment" if environment else "project",
        entity_key=thing.key,
        project=project.key,
    )


class _Dated(RemovableAdmin):
    """What its admins rename and delete, and everybody else reads."""

    def edit_page(
        self,
        request: HttpRequest,
        thing: Project | Environment,
        form_class: type[forms.Form],
        update: Callable[..., Any],
        *,
        intro: str,
    ) -> HttpResponse:
        """The form's fields are named as the thing's document names them; `update` raises ServiceError."""
        form = form_class(sent_data(request), initial=_document(thing))

        def perform(sent: dict[str, Any]) -> HttpResponse:
            update(payload={name: value for name, value in sent.items() if name != "version"}, version=sent["version"])
            messages.success(request, "Saved.")
            return redirect(self.list_url())

        def merge(sent: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]]:
            thing.refresh_from_db()
            mine = {name: value for name, value in sent.items() if name != "version"}
            merged, notice = conflicts.merge(_entries(thing), mine, _document(thing), version=sent["version"])
            return form_class(initial=merged), notice

        return self.form_page(
            request,
            form,
            perform,
            merge=merge,
            title=str(thing),
            submit="Save",
            intro=intro,
            remove_url=self.remove_url(request, thing),
        )

    @display(description="Created", ordering="created_at")
    def created(self, row: Any) -> str:
        return moment(row.created_at)


@admin.register(Organization)
class OrganizationAdmin(_Dated):
    """A tenant is made by whoever runs the installation; here its members see it."""

    list_display = ["name", "slug", "created"]
    search_fields = ["name", "slug"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        return access.organizations(console_context(request).principal)

    def may_remove(self, request: HttpRequest, thing: Organization) -> bool:  # noqa: ARG002 - whoever runs the installation does
        return False


class ProjectChangeForm(forms.Form):
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)


class EnvironmentChangeForm(ProjectChangeForm):
    isProduction = forms.BooleanField(  # noqa: N815 - as the service calls it
        required=False,
        label="Production",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Real users are served here: the console asks once more before larger changes.",
    )


class ProjectForm(forms.Form):
    organization = forms.ModelChoiceField(Organization.objects.none(), widget=UnfoldAdminSelectWidget)
    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="Lower-case letters, digits and hyphens. Scripts and the API use it; it never changes.",
    )


@admin.register(Project)
class ProjectAdmin(_Dated):
    list_display = ["name", "key", "organization", "environment_list", "created"]
    list_select_related = ["organization"]
    search_fields = ["name", "key"]
    search_help_text = "Search by name or key"
    teaching = "tenancy/empty_projects.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        found = access.projects(console_context(request).principal).select_related("organization")
        return found.prefetch_related("environments").order_by("organization__slug", "key")

    @display(description="Environments")
    def environment_list(self, project: Project) -> str:
        return ", ".join(environment.key for environment in project.environments.all()) or "none yet"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        project: Project | None = self.get_object(request, object_id)
        if project is None or not self.may_remove(request, project):
            return cast(HttpResponse, super().change_view(request, object_id, form_url, extra_context))
        update = partial(services.update_project, actor=console_context(request).actor, project=project)
        intro = f"Key {project.key}, in {project.organization}. Environments: {self.environment_list(project)}."
        return self.edit_page(request, project, ProjectChangeForm, update, intro=intro)

    def may_remove(self, request: HttpRequest, thing: Project) -> bool:
        return console_context(request).may_in_project(Role.ADMIN, thing)

    def consequence(self, thing: Project) -> str:
        if thing.environments.exists():
            return f"It cannot go yet: it has environments ({self.environment_list(thing)}). Delete those first."
        return (
            "It is refused while it has flags, archived ones too, or metrics. What was done in it stays in the audit "
            "log. It cannot be brought back."
        )

    def remove_thing(self, request: HttpRequest, thing: Project, reason: str) -> None:
        services.delete_project(actor=console_context(request).actor, project=thing, reason=reason)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        if not self.has_add_permission(request):
            raise PermissionDenied
        looking = console_context(request)
        allowed = [pk for pk in looking.organization_roles if looking.may_in(Role.ADMIN, pk)]
        choices = access.organizations(looking.principal).filter(pk__in=allowed)
        form = ProjectForm(sent_data(request), initial={"organization": choices.first()})
        form.fields["organization"].queryset = choices  # type: ignore[attr-defined]  # it is a ModelChoiceField

        def perform(sent: dict[str, Any]) -> HttpResponse:
            project = services.create_project(actor=looking.actor, **sent)
            messages.success(request, f"{project} is there. Give it an environment next, so that flags can be served.")
            return redirect("admin:tenancy_environment_add")

        return self.form_page(request, form, perform, title="New project", submit="Create project")


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


@admin.register(Environment)
class EnvironmentAdmin(_Dated):
    list_display = ["name", "key", "project", "stage", "config_version", "created"]
    list_select_related = ["project__organization"]
    search_fields = ["name", "key", "project__name", "project__key"]
    search_help_text = "Search by name, key or project"
    teaching = "tenancy/empty_environments.html"
    fields = ["project", "name", "key", "is_production", "salt", "config_version", "created"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Environment]:
        found = access.environments(console_context(request).principal).select_related("project__organization")
        return found.order_by("project__organization__slug", "project__key", "-is_production", "key")

    @display(description="Stage", label={"Production": "warning", "Other": "info"})
    def stage(self, environment: Environment) -> str:
        return "Production" if environment.is_production else "Other"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        environment: Environment | None = self.get_object(request, object_id)
        if environment is None or not self.may_remove(request, environment):
            return cast(HttpResponse, super().change_view(request, object_id, form_url, extra_context))
        update = partial(services.update_environment, actor=console_context(request).actor, environment=environment)
        intro = (
            f"Key {environment.key}, in project {environment.project}; its configuration is at version "
            f"{environment.config_version}. Users get "
            f"{'other variants here than elsewhere' if environment.salt else 'the same variants here as elsewhere'}."
        )
        return self.edit_page(request, environment, EnvironmentChangeForm, update, intro=intro)

    def may_remove(self, request: HttpRequest, thing: Environment) -> bool:
        return console_context(request).may(Role.ADMIN, thing)

    def consequence(self, thing: Environment) -> str:
        return (
            f"What flags are set to in {thing} goes with it, rules, segments, layers and history; the flags stay in "
            "the project's other environments. It is refused while a key is live or an experiment is here. It cannot "
            "be brought back."
        )

    def remove_thing(self, request: HttpRequest, thing: Environment, reason: str) -> None:
        services.delete_environment(actor=console_context(request).actor, environment=thing, reason=reason)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return console_context(request).may_in(Role.ADMIN)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002 - Django's signature
        if not self.has_add_permission(request):
            raise PermissionDenied
        looking = console_context(request)
        allowed = [pk for pk in looking.organization_roles if looking.may_in(Role.ADMIN, pk)]
        choices = access.projects(looking.principal).filter(organization__in=allowed)
        form = EnvironmentForm(sent_data(request), initial={"project": choices.first()})
        form.fields["project"].queryset = choices  # type: ignore[attr-defined]  # it is a ModelChoiceField

        def perform(sent: dict[str, Any]) -> HttpResponse:
            environment = services.create_environment(actor=looking.actor, **sent)
            messages.success(request, f"{environment} is there; every flag of the project is switched off in it.")
            return redirect(self.list_url())

        return self.form_page(request, form, perform, title="New environment", submit="Create environment")
