"""What is done to events: policies, retention, export and erasure."""

from typing import TypedDict

from audit.actions import Action, register


class Erasure(TypedDict):
    """How many rows went."""

    exposures: int
    conversions: int
    deadLetters: int


class ExportedEvents(TypedDict):
    rows: int
    since: str | None
    until: str | None


class EventPolicyState(TypedDict):
    retentionDays: int | None
    pseudonyms: bool
    exposureAttributes: list[str] | None


class DeadLetters(TypedDict):
    """How many events."""

    count: int


class AppliedRetention(TypedDict):
    """Each part that was dropped, in words."""

    dropped: list[str]


register(
    Action("user.exported", "User's events exported", "one end user's events were exported"),
    Action("user.forgotten", "User forgotten", "one end user's events were erased", Erasure),
    Action("events.exported", "Events exported", "an environment's raw events were written to a file", ExportedEvents),
    Action(
        "events.policy_changed",
        "Event policy changed",
        "what happens to events of an environment changed: retention, attributes, pseudonyms",
        EventPolicyState,
        entity="environment",
    ),
    Action(
        "events.dead_letters_retried",
        "Events sent again",
        "events that could not be stored were sent again",
        DeadLetters,
        entity="environment",
    ),
    Action(
        "events.dead_letters_discarded",
        "Events thrown away",
        "events that could not be stored were thrown away",
        DeadLetters,
        entity="environment",
    ),
    Action(
        "events.retention_applied",
        "Old events removed",
        "events past their retention were removed",
        AppliedRetention,
    ),
)
