"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from integrations.api import views

urlpatterns = [
    path("webhooks", views.WebhooksView.as_view()),
    path("webhooks/<uuid:webhook_id>", views.WebhookView.as_view()),
    path("webhooks/<uuid:webhook_id>/rotate-secret", views.RotateSecretView.as_view()),
    path("webhooks/<uuid:webhook_id>/test", views.TryWebhookView.as_view()),
    path("webhooks/<uuid:webhook_id>/redeliver", views.RedeliverSinceView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries", views.DeliveriesView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>", views.DeliveryView.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver", views.RedeliverView.as_view()),
    path("event-types", views.EventTypesView.as_view()),
]
