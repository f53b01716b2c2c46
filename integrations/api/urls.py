"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from integrations.api import notifications, webhooks

urlpatterns = [
    path("webhooks", webhooks.WebhooksView.as_view()),
    path("webhooks/<uuid:webhook_id>", webhooks.WebhookView.as_view()),
    path("webhooks/<uuid:webhook_id>/rotate-secret", webhooks.RotateSecretView.as_view()),
    path("webhooks/<uuid:webhook_id>/test", webhooks.TryWebhookView.as_view()),
    path("webhooks/<uuid:webhook_id>/redeliver", webhooks.RedeliverSinceView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries", webhooks.DeliveriesView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>", webhooks.DeliveryView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver", webhooks.RedeliverView.as_view()),
    path("notification-settings", notifications.NotificationSettingsView.as_view()),
    path("notification-settings/<str:channel>", notifications.NotificationSettingView.as_view()),
    path("follows", notifications.FollowsView.as_view()),
    path("follows/<uuid:follow_id>", notifications.FollowView.as_view()),
    path("event-types", webhooks.EventTypesView.as_view()),
]
