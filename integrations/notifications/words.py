"""An event in plain words: what happened to what, by whom, where, the link, and for an alarm what to do."""

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.urls import reverse

from audit.actions import label_of, remedy_of
from audit.models import Entry

# A chat refuses a message that is too long, and would refuse it for ever; the link leads to the whole.
_MOST_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One event as a message shows it."""

    title: str
    detail: str
    url: str

    @property
    def text(self) -> str:
        return "\n".join(part for part in (self.title, self.detail, self.url) if part)


def line_of(entry: Entry) -> Line:
    """The link leads to the event in the audit log, which shows each change."""
    place = " / ".join(part for part in (entry.project, entry.environment) if part)
    title = f"{label_of(entry.action)}: {name_in(entry)}{f' in {place}' if place else ''}, by {entry.actor_label}"
    path = reverse("admin:audit_entry_change", args=[entry.pk])
    detail = " ".join(part for part in (_sentence(_short(entry.reason)), remedy_of(entry.action)) if part)
    return Line(_short(title), detail, f"{settings.BASE_URL}{path}")


def name_in(entry: Entry) -> str:
    """The thing's name as the event has it, else its key."""
    for state in (entry.after, entry.before):
        if isinstance(state, dict) and state.get("name"):
            return str(state["name"])
    return entry.entity_key


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
