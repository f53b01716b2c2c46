"""Every write to webhooks, and to what people want to hear of."""

from integrations.services.notifications import (
    NOTIFICATIONS_KEPT_DAYS,
    follow,
    mark_read,
    prune_notifications,
    remove_channel,
    set_channel,
    unfollow,
)
from integrations.services.webhooks import (
    DELIVERIES_KEPT_DAYS,
    IssuedWebhook,
    create_webhook,
    delete_webhook,
    prune_deliveries,
    redeliver,
    redeliver_since,
    request_test,
    rotate_webhook_secret,
    update_webhook,
)

__all__ = [
    "DELIVERIES_KEPT_DAYS",
    "NOTIFICATIONS_KEPT_DAYS",
    "IssuedWebhook",
    "create_webhook",
    "delete_webhook",
    "follow",
    "mark_read",
    "prune_deliveries",
    "prune_notifications",
    "redeliver",
    "redeliver_since",
    "remove_channel",
    "request_test",
    "rotate_webhook_secret",
    "set_channel",
    "unfollow",
    "update_webhook",
]
