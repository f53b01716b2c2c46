"""Cursors over the audit log: webhooks with the log of their deliveries, and people with what they are told of."""

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


class Follow(models.Model):
    """What a person wants to hear of: a flag, an experiment, or every flag with a tag."""

    class Kind(models.TextChoices):
        FLAG = "flag", "Flag"
        EXPERIMENT = "experiment", "Experiment"
        TAG = "tag", "Tag"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="follows")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="follows")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    project = models.CharField(max_length=63, help_text="The project's key.")
    key = models.CharField(max_length=200, help_text="The flag's or experiment's key, or the tag.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "follow"
        verbose_name_plural = "what you follow"
        ordering = ["project", "kind", "key"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organization", "kind", "project", "key"], name="follow_once")
        ]
        indexes = [models.Index(fields=["organization", "kind", "project", "key"], name="follow_by_thing")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Notification(models.Model):
    """A row of the audit log that a person is told of. The inbox lists these; channels follow them by their ids."""

    class Why(models.TextChoices):
        MINE = "mine", "yours"
        FOLLOWED = "followed", "followed"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    position = models.BigIntegerField(help_text="Of the row in the organization's chain.")
    why = models.CharField(max_length=10, choices=Why.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "for you"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "organization", "position"], name="notification_once")]
        indexes = [
            models.Index(fields=["user", "-id"], name="notification_by_user"),
            models.Index(fields=["created_at"], name="notification_by_time"),
            models.Index(fields=["user", "-id"], condition=models.Q(read_at__isnull=True), name="notification_unread"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.position}"


class NotificationCursor(models.Model):
    """How far an organization's chain was read for people to be told of."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="notification_cursor"
    )
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.position}"


class NotificationSetting(models.Model):
    """How one person is told through one channel, and how far that has come. The inbox needs none."""

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        DISCORD = "discord", "Discord"

    class Frequency(models.TextChoices):
        AT_ONCE = "at_once", "At once"
        DAILY = "daily", "Once a day"
        OFF = "off", "Never"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notification_settings")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    url = models.CharField(max_length=2000, blank=True, help_text="Of a chat's incoming webhook; e-mail has none.")
    mine = models.CharField(max_length=10, choices=Frequency.choices, default=Frequency.AT_ONCE)
    followed = models.CharField(max_length=10, choices=Frequency.choices, default=Frequency.DAILY)
    # Per frequency: the last notification that was told, and when the next message may go.
    told_at_once = models.BigIntegerField(default=0)
    told_daily = models.BigIntegerField(default=0)
    daily_due_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True, help_text="Why the last message did not go.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organization", "channel"], name="notification_channel_once")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} by {self.channel}"


class ExportCursor(models.Model):
    """How far something was handed to a target outside: see `integrations.export.cursors`.

    A chain of the audit log by its positions, the events by the hours since 1970, a snapshot by its version.
    """

    target = models.CharField(max_length=64, help_text="SHA-256 of the target's name, which may hold a secret.")
    chain = models.BigIntegerField(help_text="The organization's or environment's id; 0 is the platform.")
    position = models.BigIntegerField(default=0)
    mark = models.CharField(max_length=64, default="", db_default="", help_text="What else it was handed with.")
    leased_until = models.DateTimeField(null=True, help_text="Until then the worker that took it is at it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "chain"], name="export_cursor_once")]

    def __str__(self) -> str:
        return f"{self.target[:8]} chain {self.chain} at {self.position}"


class ExportTarget(models.Model):
    """Whether a target outside takes what it is handed. The health page shows it."""

    target = models.CharField(max_length=64, primary_key=True, help_text="As the cursors have it.")
    kind = models.CharField(max_length=20)
    taken_at = models.DateTimeField(null=True, help_text="When it last took something, or had all there was.")
    failing_since = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.target[:8]}"
