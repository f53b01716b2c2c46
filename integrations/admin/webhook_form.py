"""The form of a webhook: its fields are those of the API's document."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from integrations.event_types import ALL, groups
from tenancy.models import Environment, Organization


class ListedField(forms.CharField):
    """Texts, separated by commas or lines."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})

    def __init__(self, **given: Any) -> None:
        super().__init__(required=False, max_length=20_000, **given)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        return [part for part in (one.strip() for one in text.replace("\n", ",").split(",")) if part]


class WebhookForm(forms.Form):
    name = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="Who is told, for example: incident channel."
    )
    url = forms.CharField(
        label="Address",
        max_length=2000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where events are sent, best by https. Inner networks are refused unless WEBHOOK_ALLOWED_NETWORKS "
        "lists them.",
    )
    kinds = forms.MultipleChoiceField(
        label="Events of a kind", required=False, widget=forms.CheckboxSelectMultiple, help_text="Every event of it."
    )
    single = ListedField(
        label="Single events", help_text="Names, separated by commas: flag.killed, experiment.alarmed."
    )
    projects = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen: all of them."
    )
    environments = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all of them, and what belongs to none.",
    )
    tags = ListedField(help_text="Of flags, one of which is enough. Empty: all.")
    enabled = forms.BooleanField(
        required=False, initial=True, label="On", widget=UnfoldBooleanSwitchWidget,
        help_text="What happens while it is off is told once it is on again.",
    )  # fmt: skip
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, organizations: list[Organization], **given: Any) -> None:
        super().__init__(*args, **given)
        inside = Environment.objects.filter(project__organization__in=organizations)
        named: dict[str, list[tuple[str, str]]] = {
            "kinds": [(ALL, "Everything"), *((f"{group}.*", _said(group)) for group in groups())],
            "projects": sorted({(row.project.key, row.project.name) for row in inside.select_related("project")}),
            "environments": sorted({(key, key) for key in inside.values_list("key", flat=True)}),
        }
        for name, choices in named.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]  # each has choices
        if len(organizations) > 1:
            choose = forms.ModelChoiceField(
                Organization.objects.filter(pk__in=[row.pk for row in organizations]),
                initial=organizations[0],
                widget=UnfoldAdminSelectWidget,
            )
            self.fields = {"organization": choose, **self.fields}

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        sent["events"] = [*sent.pop("kinds", []), *sent.pop("single", [])]
        if not sent["events"] and not self.errors:
            self.add_error("kinds", "Choose a kind of event, or name single ones.")
        return sent


def opened_with(document: dict[str, Any]) -> dict[str, Any]:
    """What the form shows of a webhook's document."""
    kinds = [name for name in document["events"] if name == ALL or name.endswith(".*")]
    return {**document, "kinds": kinds, "single": [name for name in document["events"] if name not in kinds]}


def _said(group: str) -> str:
    return f"{group.replace('_', ' ').capitalize()} ({group}.*)"
