"""What is done to webhooks."""

from typing import TypedDict

from audit.actions import Action, Document, register


class DisabledWebhook(TypedDict):
    """`why` in words; `failingSince` is the first failed attempt of the event that stands first."""

    name: str
    why: str
    failingSince: str | None
    attempts: int


class RotatedSecret(TypedDict):
    generation: int
    previousSecretUntil: str | None


class ReplayedEvents(TypedDict):
    """Where the webhook's cursor stands; every event after it is delivered once more."""

    position: int


_WEBHOOK = Document("Webhook")

register(
    Action("webhook.created", "Webhook created", "a webhook was made; its secret is nowhere in the row", _WEBHOOK),
    Action("webhook.updated", "Webhook changed", "a webhook changed, or was switched on or off", _WEBHOOK),
    Action("webhook.deleted", "Webhook deleted", "a webhook was deleted, the log of its deliveries with it", _WEBHOOK),
    Action(
        "webhook.disabled",
        "Webhook disabled",
        "the system switched a webhook off: its deliveries failed for 24 hours, or the receiver answered 410",
        DisabledWebhook,
        tone="danger",
        remedy="See its deliveries for the answers, mend the receiver, and switch the webhook on again.",
    ),
    Action(
        "webhook.secret_rotated",
        "Webhook secret rotated",
        "a webhook signs with a new secret; the one before it signs beside it for 24 hours",
        RotatedSecret,
    ),
    Action(
        "webhook.replayed",
        "Webhook events sent again",
        "somebody asked for every event since an instant once more",
        ReplayedEvents,
    ),
)
