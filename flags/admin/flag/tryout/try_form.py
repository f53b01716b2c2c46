"""The form of *Try it*: one user or a list of them, their attributes, and the moment or version to answer for."""

from typing import Any

import orjson
from django import forms

from tenancy.console_kit.instants import InstantField, TypedInstant
from tenancy.errors import Invalid

_CODE = "fs-input fs-input--code"
_MOST_VERSIONS = 2**63 - 1


class AttributesField(forms.CharField):
    """A user's attributes as people write them; see `read_attributes`."""

    def clean(self, value: Any) -> dict[str, Any]:
        try:
            return read_attributes(super().clean(value))
        except Invalid as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class LinesField(forms.CharField):
    """A list of texts, one on each line; empty lines are left out."""

    def clean(self, value: Any) -> list[str]:
        lines = (line.strip() for line in super().clean(value).splitlines())
        return [line for line in lines if line]


class TryForm(forms.Form):
    """No field is required. A user without an id, and no attributes, can be tried too."""

    user = forms.CharField(required=False, label="User id", widget=forms.TextInput({"class": _CODE}))
    attributes = AttributesField(
        required=False,
        widget=forms.Textarea({"class": _CODE, "rows": 4, "placeholder": "country=US\nplan=pro\nage=34"}),
        help_text="One name=value on each line, or a JSON object.",
    )
    at = InstantField(label="At", initial=TypedInstant())
    configVersion = forms.IntegerField(
        required=False,
        label="or configuration version",
        min_value=0,
        max_value=_MOST_VERSIONS,
        widget=forms.TextInput({"class": "fs-input", "inputmode": "numeric"}),
        error_messages={"invalid": "A configuration version is a whole number."},
    )
    users = LinesField(
        required=False,
        label="User ids",
        widget=forms.Textarea({"class": _CODE, "rows": 6, "placeholder": "One on each line, at most 500"}),
        help_text="All with the attributes above, now or at the other time.",
    )

    def when(self) -> dict[str, Any]:
        """Return the moment in an explanation's words: the version if there is one, else the instant."""
        sent = {name: self.cleaned_data[name] for name in ("configVersion", "at")}
        chosen = [name for name, value in sent.items() if value is not None][:1]
        return {name: sent[name] for name in chosen}


def read_attributes(text: str) -> dict[str, Any]:
    """Read a JSON object, or lines of `name=value`. Numbers, true and false in lines are read as such.

    Raises Invalid, naming the line.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            return dict(orjson.loads(text))
        except ValueError as error:
            raise Invalid(f"The attributes are no JSON object: {error}.", attr="attributes") from error
    attributes: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise Invalid(f"Write {line.strip()!r} as name=value, for example country=US.", attr="attributes")
        attributes[name.strip()] = _value(value.strip())
    return attributes


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text
