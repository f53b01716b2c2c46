"""How events are kept, who is a bot, and the revision of both."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenancy.models import Environment


class EventPolicy(models.Model):
    """How one environment's events are kept; without a row the installation's defaults hold."""

    environment = models.OneToOneField(Environment, on_delete=models.CASCADE, related_name="event_policy")
    retention_days = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: RAW_EVENT_RETENTION_DAYS.")
    pseudonym_key = models.BinaryField(
        null=True, editable=False, help_text="Units are stored as their HMAC-SHA256 under this key, if there is one."
    )
    exposure_attributes = ArrayField(
        models.CharField(max_length=100),
        null=True,
        blank=True,
        help_text="Kept with the server's own exposures; an empty list: none, no value: country, plan, platform.",
    )
    raw_since = models.DateTimeField(null=True, editable=False, help_text="Raw events before it have been dropped.")

    class Meta:
        db_table = "event_policies"
        verbose_name_plural = "event policies"

    def __str__(self) -> str:
        return f"events of {self.environment}"


class BotUnit(models.Model):
    """A unit found to be a bot by its behaviour; patterns on ids and user agents need no row."""

    pk = models.CompositePrimaryKey("environment_id", "unit_id")
    environment_id = models.BigIntegerField()
    unit_id = models.TextField()
    found_at = models.DateTimeField(auto_now_add=True)
    because = models.TextField()

    class Meta:
        db_table = "bot_units"

    def __str__(self) -> str:
        return f"{self.unit_id}: {self.because}"


class DerivedRevision(models.Model):
    """One row, counted up when derived tables, policies or bots change: the ingest then looks again."""

    value = models.BigIntegerField(default=0)

    class Meta:
        db_table = "derived_revision"
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="derived_revision_single_row")]

    def __str__(self) -> str:
        return str(self.value)
