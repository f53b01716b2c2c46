"""Chosen flags that somebody evaluates: named before they are archived, and typed how many they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from analytics.usage import reading
from flags.admin.list.bulk import MOST_SHOWN, ProgressForm
from flags.models import FlagConfig
from flags.staleness import ASKED_FOR_DAYS
from tenancy.console_kit.formats import counted
from tenancy.errors import Invalid
from tenancy.models import Environment


class UsedFlagsForm(ProgressForm):
    """Has a field for how many of the flags are evaluated, or for the key of the one that is."""

    confirm = forms.CharField(max_length=200, required=False)


@dataclass(frozen=True, slots=True)
class UsedFlag:
    """A flag that was evaluated in the last days: where, when and by whom last."""

    key: str
    environment: Environment
    use: reading.LastUse


@dataclass(frozen=True, slots=True)
class UsedFlags:
    """All of them, by key."""

    flags: list[UsedFlag]

    @property
    def typed(self) -> str:
        """What is typed: once it is another number, other flags are evaluated than were named."""
        return self.flags[0].key if len(self.flags) == 1 else counted(len(self.flags), "flag")

    @property
    def shown(self) -> list[UsedFlag]:
        return self.flags[:MOST_SHOWN]

    @property
    def left_out(self) -> int:
        return len(self.flags) - len(self.shown)


def used_flags(pks: Iterable[int]) -> UsedFlags:
    """Return those that are evaluated in any environment of their project, in three queries."""
    chosen = list(FlagConfig.objects.filter(pk__in=list(pks)).values_list("flag__key", "environment__project"))
    places = {row.pk: row for row in Environment.objects.filter(project__in={project for _, project in chosen})}
    uses = reading.last_uses(list(places), [key for key, _ in chosen])
    since = timezone.now() - timedelta(days=ASKED_FOR_DAYS)
    found = [UsedFlag(key, places[use.source.environment_id], use) for key, use in uses.items() if use.at >= since]
    return UsedFlags(sorted(found, key=lambda each: each.key))


def refuse_used(configs: list[FlagConfig], sent: Mapping[str, Any]) -> None:
    """Raise Invalid unless nobody evaluates them, or it was typed how many are evaluated."""
    used = used_flags(config.pk for config in configs)
    if used.flags and sent["confirm"] != used.typed:
        named = ", ".join(each.key for each in used.shown)
        raise Invalid(
            f"Still evaluated: {named}. Type {used.typed} to archive them all the same. Nothing has been archived.",
            attr="confirm",
            code="confirmation_mismatch",
        )
