"""Raw events, append-only and partitioned by the time in their ids; and events that could not be stored."""

from django.db import models


class Exposure(models.Model):
    """One evaluation that was seen by a unit; counted once per evaluation id and environment."""

    pk = models.CompositePrimaryKey("evaluation_id", "environment_id")
    evaluation_id = models.UUIDField()
    environment_id = models.BigIntegerField()
    flag_key = models.TextField()
    unit_id = models.TextField(help_text="What was hashed: the value of the flag's bucketBy, in the API `userId`.")
    variant = models.TextField()
    reason = models.TextField()
    rule_id = models.TextField(null=True)  # noqa: DJ001 - absent is not the empty text
    experiment = models.TextField(null=True)  # noqa: DJ001 - likewise
    config_version = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    source = models.TextField()
    user_agent = models.TextField(null=True)  # noqa: DJ001 - likewise
    is_bot = models.BooleanField(default=False)
    attributes = models.JSONField(null=True)
    is_prefetched = models.BooleanField(
        db_default=False, help_text="Of a bulk answer: its user need not have seen the variant."
    )

    class Meta:
        db_table = "exposures"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} for {self.unit_id}"


class Conversion(models.Model):
    """Something a unit did, with a value where there is one; counted once per event id and environment."""

    pk = models.CompositePrimaryKey("event_id", "environment_id")
    event_id = models.UUIDField()
    environment_id = models.BigIntegerField()
    unit_id = models.TextField()
    event_name = models.TextField()
    value = models.FloatField(null=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    is_bot = models.BooleanField(default=False)
    properties = models.JSONField(null=True)

    class Meta:
        db_table = "conversions"

    def __str__(self) -> str:
        return f"{self.event_name} of {self.unit_id}"


class LateHour(models.Model):
    """Events were stored of an hour, by when they were received, that was over: it is exported anew.

    Rows are only added and deleted. So neither those who store events nor the export waits for the other.
    """

    environment_id = models.BigIntegerField()
    table = models.CharField(max_length=20)
    hour = models.BigIntegerField(help_text="Since 1970 (UTC).")

    class Meta:
        db_table = "events_late_hours"

    def __str__(self) -> str:
        return f"{self.table} of hour {self.hour}"


class DeadLetter(models.Model):
    """An event that could not be stored, kept as it came until somebody retries or discards it."""

    received_at = models.DateTimeField(auto_now_add=True)
    environment_id = models.BigIntegerField(null=True)
    kind = models.CharField(max_length=20)
    reason = models.TextField()
    payload = models.BinaryField(help_text="A packed batch of this one event, or the whole entry if it cannot be read.")

    class Meta:
        db_table = "event_dead_letters"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"
