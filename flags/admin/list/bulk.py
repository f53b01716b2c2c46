"""Acts on many flags at once: on the confirmed flags and no others, with progress if it takes long.

Each request does a slice of the work, and the page carries what is left to do. So the server stores nothing between the
requests, and no proxy waits long. When the page is closed, the other flags stay as they were.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from flags.models import FlagConfig
from tenancy.console_kit import proposals
from tenancy.console_kit.confirm import ReasonForm, RequiredReasonForm
from tenancy.console_kit.environments import environment_ids
from tenancy.console_kit.forms import TypedJSONField
from tenancy.errors import ServiceError
from tenancy.models import Environment

# The page lists this many flags and counts the others.
MOST_SHOWN = 100
_MOST_FAILURES = 200
SLICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Flags of one environment: the ids of all, and the first ones with their rows."""

    pks: list[int]
    shown: list[FlagConfig]

    @property
    def place(self) -> Environment | None:
        return self.shown[0].environment if self.shown else None

    @property
    def left_out(self) -> int:
        return len(self.pks) - len(self.shown)

    @property
    def as_text(self) -> str:
        """Return the ids as `NumbersField` reads them."""
        return as_text(self.pks)


def as_text(pks: Iterable[int]) -> str:
    return ",".join(str(pk) for pk in pks)


def numbers_in(text: str) -> list[int] | None:
    """Return the ids of `as_text`; None for anything else."""
    parts = [part for part in text.split(",") if part]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return None
    return [int(part) for part in parts]


def select(rows: QuerySet[FlagConfig]) -> Selection:
    """Select the rows with three queries, however many there are."""
    pks = list(rows.values_list("pk", flat=True))
    return Selection(pks, list(rows.prefetch_related("rules")[:MOST_SHOWN]))


def visible_flags(request: HttpRequest) -> QuerySet[FlagConfig]:
    """Return the flags of every environment that this person may see."""
    found = FlagConfig.objects.filter(environment__in=environment_ids(request))
    return found.select_related("flag", "environment__project__organization")


class NumbersField(forms.CharField):
    """Ids in one hidden field of the page. Django would refuse thousands of fields."""

    def __init__(self) -> None:
        super().__init__(required=False, widget=forms.HiddenInput)

    def prepare_value(self, value: Any) -> Any:
        return as_text(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[int]:
        numbers = numbers_in(super().clean(value))
        if numbers is None:
            raise forms.ValidationError("The list of flags cannot be read. Choose them in the list again.")
        return numbers


class SelectionForm(ReasonForm):
    """The flags that a page was shown for, carried to its act, and the reason."""

    flags = NumbersField()

    def __init__(self, *args: Any, is_reason_needed: bool = False, **given: Any) -> None:
        super().__init__(*args, **given)
        if is_reason_needed:
            self.fields["reason"] = RequiredReasonForm.base_fields["reason"]


class FailuresField(TypedJSONField):
    """Keys of flags, each with the reason why it was left as it is."""

    def clean(self, value: Any) -> list[tuple[str, str]]:
        pairs = super().clean(value) or []
        if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            raise forms.ValidationError("The flags that were left cannot be read. Choose the flags in the list again.")
        return [(key, why) for key, why in pairs]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


class ProgressForm(SelectionForm):
    """A selection of which a part is done. `done` is None with the first request. `run` names what is kept of it."""

    run = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    done = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    failed = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    failures = FailuresField(required=False, widget=forms.HiddenInput)


def sent_selection(request: HttpRequest) -> QuerySet[FlagConfig]:
    """Return the flags that a page was shown for, without those that are gone or that the sender may not see."""
    form = SelectionForm(request.POST)
    form.is_valid()  # The page shows what is wrong, together with problems of the reason.
    found = visible_flags(request).filter(pk__in=form.cleaned_data.get("flags", []))
    return found.order_by("flag__key")


@dataclass(slots=True)
class Run:
    """The progress of the work. `failures` are `(key, why)`, at most the first 200.

    `refused` are the ids of those for which approval can be asked.
    """

    waiting: list[int]
    done: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @classmethod
    def resumed(cls, sent: dict[str, Any], waiting: list[int]) -> "Run":
        """Go on from what a ProgressForm holds. The page's figures are only displayed."""
        return cls(waiting, sent["done"] or 0, sent["failed"] or 0, sent["failures"])

    def carried(self) -> dict[str, Any]:
        """Return what the page's form carries to the next request."""
        flags = as_text(self.waiting)
        return {"flags": flags, "done": self.done, "failed": self.failed, "failures": self.failures}

    def work(self, configs: dict[int, FlagConfig], act: Callable[[FlagConfig], object]) -> None:
        """Work for a second, on one flag at least. A flag that refuses does not stop the others."""
        until = monotonic() + SLICE_SECONDS
        while self.waiting:
            config = configs[self.waiting.pop(0)]
            try:
                act(config)
            except ServiceError as error:
                self.failed += 1
                if proposals.is_proposable(error):
                    self.refused.append(config.pk)
                if len(self.failures) < _MOST_FAILURES:
                    self.failures.append((config.flag.key, " ".join(problem.detail for problem in error.problems)))
            else:
                self.done += 1
            if monotonic() >= until:
                return

    @property
    def total(self) -> int:
        return self.handled + len(self.waiting)

    @property
    def handled(self) -> int:
        return self.done + self.failed

    @property
    def share(self) -> float:
        return self.handled / self.total if self.total else 1.0
