"""Webhook endpoints, how far each has followed the audit log, and the log of their deliveries."""

from django.db import models
from django.db.models import Q
from openflagship.ids import uuid7

from audit.places import Place
from tenancy.models import Organization, User


class WebhookEndpoint(models.Model):
    """An address that is told of an organization's events. Its secrets are derived; see `integrations.webhooks`."""

    class Disabled(models.TextChoices):
        BY_PERSON = "by_person", "switched off by a person"
        FAILED = "failed", "every delivery failed for 24 hours"
        GONE = "gone", "the receiver answered 410 Gone"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2000)
    events = models.JSONField(help_text="Names, as flag.killed, all of a kind, as flag.*, or * for all.")
    projects = models.JSONField(default=list, blank=True, help_text="Keys; empty: all.")
    environments = models.JSONField(default=list, blank=True, help_text="Keys; empty: all.")
    tags = models.JSONField(default=list, blank=True, help_text="Of flags; empty: all.")
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=20, choices=Disabled.choices, blank=True)
    generation = models.PositiveIntegerField(default=1, editable=False, help_text="Of the secret.")
    previous_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    owner = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", help_text="Who made it, and is told."
    )
    created_by = models.CharField(max_length=254, blank=True)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "webhook"
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_place(self) -> Place:
        return Place(self.organization_id)


class WebhookCursor(models.Model):
    """How far an endpoint has been told of its organization's chain, and when the next attempt is due.

    Positions of a chain have no gap and become visible in their order. So whatever is at or before `position` was
    seen. A worker holds the row's lock while it delivers: an endpoint has one delivery at a time.
    """

    endpoint = models.OneToOneField(WebhookEndpoint, on_delete=models.CASCADE, primary_key=True, related_name="cursor")
    position = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0, help_text="Failed attempts of the event that is next.")
    failing_since = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, help_text="No attempt before; empty: at once.")

    def __str__(self) -> str:
        return f"{self.endpoint_id} at {self.position}"


class WebhookDelivery(models.Model):
    """One attempt to deliver one event. A redelivery or a test waits here for a worker."""

    class Kind(models.TextChoices):
        EVENT = "event", "Event"
        REDELIVERY = "redelivery", "Redelivery"
        TEST = "test", "Test"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.EVENT)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    event_id = models.CharField(max_length=64)
    event_type = models.CharField(max_length=60)
    position = models.BigIntegerField(null=True, help_text="Of the event in the chain; a test has none.")
    attempt = models.PositiveIntegerField(default=1)
    request_headers = models.JSONField(default=dict)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_headers = models.JSONField(default=dict)
    response_body = models.TextField(blank=True, help_text="The first 64 KiB.")
    error = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="delivery_by_endpoint"),
            models.Index(fields=["endpoint", "id"], name="delivery_waiting", condition=Q(state="waiting")),
            models.Index(fields=["created_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
