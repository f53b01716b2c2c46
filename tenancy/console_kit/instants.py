"""Instants that people type, in their own zone if the page's script runs, else in UTC.

A field is the three inputs of templates/console/instant.html: the typed text, the zone of its clock, and the instant
that the field was filled with. So what is sent means one instant, whoever opens the address that holds it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenancy.errors import Invalid

_TO_THE_MINUTE = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, slots=True)
class TypedInstant:
    """`shown` is the instant that the field was filled with. An untouched field keeps it, to the second.

    Without it, a time that a clock shows twice would become the first of the two on its way over the page.
    """

    text: str = ""
    zone: str = "UTC"
    shown: str = ""

    @classmethod
    def of(cls, instant: datetime | None) -> "TypedInstant":
        if instant is None:
            return cls()
        utc = instant.astimezone(UTC)
        return cls(utc.strftime(_TO_THE_MINUTE), "UTC", utc.isoformat())

    @classmethod
    def sent(cls, data: Mapping[str, Any], name: str) -> "TypedInstant":
        text, zone, shown = ((data.get(f"{name}{part}") or "").strip() for part in ("", "_zone", "_shown"))
        return cls(text, zone or "UTC", shown)

    @property
    def on_page(self) -> "TypedInstant":
        """Return the field in UTC; the page's script converts it. A text that cannot be read stays as it is."""
        try:
            return TypedInstant.of(self.read(""))
        except Invalid:
            return TypedInstant(self.text, self.zone)

    def read(self, attr: str) -> datetime | None:
        """Return the instant in UTC; a time that comes twice means the first. Raises Invalid about `attr`."""
        if not self.text:
            return None
        if self.zone not in _zones():
            raise Invalid(f"The time zone {self.zone!r} is not known here.", attr=attr)
        zone = ZoneInfo(self.zone)
        try:
            typed = datetime.fromisoformat(self.text)
            if typed.tzinfo is not None:
                return typed.astimezone(UTC)
            before, after = (typed.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            untouched = self._shown_at(typed, zone)
        except (ValueError, OverflowError) as error:
            raise Invalid("Give a moment like 2026-11-20T14:05.", attr=attr) from error
        if before > after:
            # The instants by the clock before the change and after it. Both exist on a clock; the typed one does not.
            times = (moment.astimezone(zone).strftime("%H:%M") for moment in (after, before))
            raise Invalid(
                f"There is no {typed:%H:%M} on {typed:%Y-%m-%d} in {self.zone}, where clocks are put forward then. "
                f"Give {' or '.join(times)}.",
                attr=attr,
            )
        return untouched or before

    def _shown_at(self, typed: datetime, zone: ZoneInfo) -> datetime | None:
        """Return what the field was filled with, if the typed text is still the same."""
        shown = datetime.fromisoformat(self.shown).astimezone(UTC) if self.shown else None
        return (
            shown if shown and shown.astimezone(zone).strftime(_TO_THE_MINUTE) == f"{typed:{_TO_THE_MINUTE}}" else None
        )


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


class InstantWidget(forms.Widget):
    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> TypedInstant:  # noqa: ARG002 - Django's signature
        return TypedInstant.sent(data, name)

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:  # noqa: ARG002 - likewise
        return name not in data

    def render(self, name: str, value: TypedInstant | None, attrs: Any = None, renderer: Any = None) -> SafeString:  # noqa: ARG002 - likewise
        typed, is_wrong = value or TypedInstant(), "aria-invalid" in (attrs or {})
        return render_to_string("console/instant.html", {"name": name, "typed": typed, "errors": is_wrong})


class InstantField(forms.Field):
    """An instant, or None where nothing is typed."""

    widget = InstantWidget

    def __init__(self, **given: Any) -> None:
        super().__init__(required=False, **given)

    def clean(self, value: TypedInstant) -> datetime | None:
        try:
            return value.read("")
        except Invalid as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class FutureInstantField(InstantField):
    """An instant to come, or None where nothing is typed."""

    def __init__(self, *, label: str, help_text: str) -> None:
        super().__init__(label=format_html("{} (<span data-zone>UTC</span>)", label), help_text=help_text)

    def clean(self, value: TypedInstant) -> datetime | None:
        instant = super().clean(value)
        if instant is not None and instant <= timezone.now():
            raise forms.ValidationError("Give a moment in the future.")
        return instant


class InstantRangeFilter(admin.FieldListFilter):
    """Selects rows from one typed minute to the end of another. Either may be left out."""

    template = "console/instant_range.html"
    _ENDS = {"from": "From", "to": "Until"}

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.field_path}_{end}{part}" for end in self._ENDS for part in ("", "_zone", "_shown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Select no rows if an end cannot be read. All rows would look like an answer."""
        try:
            since, until = (typed.read("") for typed in self._typed().values())
        except Invalid:
            return queryset.none()
        if since is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": since})
        if until is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lt": until + timedelta(minutes=1)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:  # noqa: ARG002 - Django's signature
        for name, typed in self._typed().items():
            end = name.rpartition("_")[2]
            yield {"name": name, "label": self._ENDS[end], "typed": typed, "errors": _refusals(typed)}

    def _typed(self) -> dict[str, TypedInstant]:
        # Django stores the values of each name in the address as lists.
        sent = {name: cast(list[str], values)[-1] for name, values in self.used_parameters.items()}
        names = [f"{self.field_path}_{end}" for end in self._ENDS]
        return {name: TypedInstant.sent(sent, name) for name in names}


def _refusals(typed: TypedInstant) -> list[str]:
    try:
        typed.read("")
    except Invalid as refusal:
        return [str(refusal)]
    return []
