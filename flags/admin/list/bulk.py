"""Acts on many flags at once: the confirmed flags and no others, with progress where it takes long.

A slice of the work is done with each request, and the page carries what is left to do. So it needs no memory of its
own between the requests, no proxy waits long, and nothing is lost when the page is closed: the rest is left as it was.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from flags.models import FlagConfig
from tenancy.console_kit.confirm import ReasonForm, RequiredReasonForm
from tenancy.console_kit.environments import environment_ids
from tenancy.errors import ServiceError

# As many are shown one by one; the others are counted.
MOST_SHOWN = 200
_MOST_FAILURES = 200
SLICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Flags of one environment: their ids, and the first of them to be shown."""

    pks: list[int]
    shown: list[FlagConfig]

    @property
    def left_out(self) -> int:
        return len(self.pks) - len(self.shown)

    @property
    def as_text(self) -> str:
        """For one field of a form: as a field for each, thousands would be refused."""
        return ",".join(str(pk) for pk in self.pks)


def select(rows: QuerySet[FlagConfig]) -> Selection:
    """Three queries, however many there are."""
    pks = list(rows.values_list("pk", flat=True))
    return Selection(pks, list(rows.prefetch_related("rules")[:MOST_SHOWN]))


def visible_flags(request: HttpRequest) -> QuerySet[FlagConfig]:
    """The flags of every environment that this person may see."""
    found = FlagConfig.objects.filter(environment__in=environment_ids(request))
    return found.select_related("flag", "environment__project__organization")


def sent_selection(request: HttpRequest) -> QuerySet[FlagConfig]:
    """What a page was shown for, as far as it is still there for whoever sends it back."""
    found = visible_flags(request).filter(pk__in=_numbers(request.POST.get("flags", "")))
    return found.order_by("flag__key")


class SelectionForm(ReasonForm):
    """The flags that a page was shown for, carried to its act, and why."""

    flags = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, is_reason_needed: bool = False, **given: Any) -> None:
        super().__init__(*args, **given)
        if is_reason_needed:
            self.fields["reason"] = RequiredReasonForm.base_fields["reason"]


@dataclass(slots=True)
class Run:
    """How far the work is. `failures` are `(key, why)`, at most the first 200."""

    total: int
    waiting: list[int]
    done: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def sent(cls, post: QueryDict, waiting: list[int]) -> "Run":
        """As the page carried it; nothing is decided by it but what that page says."""
        run = cls(total=len(waiting), waiting=waiting)
        run.done, run.failed = (sum(_numbers(post.get(name, ""))) for name in ("done", "failed"))
        run.total += run.done + run.failed
        try:
            run.failures = [(str(key), str(why)) for key, why in json.loads(post.get("failures", "[]"))]
        except (ValueError, TypeError):
            run.failures = []
        return run

    def work(self, configs: dict[int, FlagConfig], act: Callable[[FlagConfig], object]) -> None:
        """Go on for a second, by one flag at least, and past a flag that refuses."""
        until = monotonic() + SLICE_SECONDS
        while self.waiting:
            config = configs[self.waiting.pop(0)]
            try:
                act(config)
            except ServiceError as error:
                self.failed += 1
                if len(self.failures) < _MOST_FAILURES:
                    self.failures.append((config.flag.key, " ".join(problem.detail for problem in error.problems)))
            else:
                self.done += 1
            if monotonic() >= until:
                return

    @property
    def handled(self) -> int:
        return self.done + self.failed

    @property
    def share(self) -> float:
        return self.handled / self.total if self.total else 1.0

    @property
    def waiting_text(self) -> str:
        return ",".join(str(pk) for pk in self.waiting)

    @property
    def failures_text(self) -> str:
        return json.dumps(self.failures)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.isascii() and part.isdigit() and len(part) < 19]
