"""The form of what an environment asks before a change is served."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from approvals import services
from approvals.documents import policy_resource
from approvals.models import ChangeRequest
from approvals.selectors import policy_of
from tenancy.admin.organizations import register_environment_link
from tenancy.console_kit.context import console_context
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import in_environment, list_url
from tenancy.models import Environment
from tenancy.roles import Role

# A path of the service, by its first part, and the form's field for it.
_NAMES = {
    "requiredApprovals": "required_approvals",
    "approvers": "approver_roles",
    "ownApproval": "own_approval",
    "when": "impact_percent",
    "emergency": "emergency_roles",
}


class NamesField(forms.CharField):
    """Names, separated by commas."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **given: Any) -> None:
        super().__init__(required=False, max_length=2_000, **given)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [name.strip() for name in super().clean(value).split(",") if name.strip()]


def roles_field(**given: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        required=False, choices=Role.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget, **given
    )


class PolicyForm(forms.Form):
    required_approvals = forms.IntegerField(
        min_value=0,
        max_value=20,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="By how many people; 0 asks for none.",
    )
    approver_roles = roles_field(help_text="Whose approvals count. A role stands for the stronger ones too.")
    approver_groups = NamesField(help_text="Groups of the identity provider, separated by commas.")
    own_approval = forms.BooleanField(
        required=False, widget=UnfoldBooleanSwitchWidget, help_text="Whether an author's own approval counts."
    )
    impact_percent = forms.FloatField(
        required=False,
        min_value=0,
        max_value=100,
        widget=UnfoldAdminTextInputWidget,
        label="Only where a change moves so many percent of the users",
        help_text="Leave this and the next two empty to be asked for every change.",
    )
    experiments = forms.BooleanField(
        required=False, widget=UnfoldBooleanSwitchWidget, label="Only where it touches an experiment"
    )
    tags = NamesField(label="Only for flags with one of these tags")
    checks = NamesField(help_text="Service accounts that have to approve as well, by their client ids.")
    emergency_roles = roles_field(help_text="Who may publish in an emergency, without the approvals.")
    version = forms.IntegerField(widget=forms.HiddenInput)


def _link(request: HttpRequest, environment: Environment) -> tuple[str, str] | None:
    if not console_context(request).may(Role.ADMIN, environment):
        return None
    return "What a change asks…", in_environment("admin:approvals_changerequest_policy", environment)


register_environment_link(_link)


def page(request: HttpRequest, environment: Environment) -> HttpResponse:
    now = policy_resource(policy_of(environment))
    initial = {
        "required_approvals": now["requiredApprovals"],
        "approver_roles": now["approvers"]["roles"],
        "approver_groups": now["approvers"]["groups"],
        "own_approval": now["ownApproval"],
        "impact_percent": now["when"].get("impactPercent"),
        "experiments": now["when"].get("experiments", False),
        "tags": now["when"].get("tags", []),
        "checks": now["checks"],
        "emergency_roles": now["emergency"]["roles"],
        "version": now["version"],
    }

    def perform(sent: dict[str, Any]) -> HttpResponse:
        services.set_policy(
            actor=console_context(request).actor,
            environment=environment,
            payload={
                "requiredApprovals": sent["required_approvals"],
                "approvers": {"roles": sent["approver_roles"], "groups": sent["approver_groups"]},
                "ownApproval": sent["own_approval"],
                "when": {
                    "impactPercent": sent["impact_percent"],
                    "experiments": sent["experiments"],
                    "tags": sent["tags"],
                },
                "emergency": {"roles": sent["emergency_roles"]},
                "checks": sent["checks"],
            },
            version=sent["version"],
        )
        messages.success(request, "Saved. It holds for the next change.")
        return redirect(list_url(ChangeRequest, environment=environment))

    return form_page(
        request,
        PolicyForm(sent_data(request), initial=initial),
        perform,
        title=f"What {environment.name} asks",
        submit="Save",
        cancel_url=list_url(ChangeRequest, environment=environment),
        names=_NAMES,
        intro="Before a change is served here, so many people have to agree. A kill asks nobody.",
    )
