"""One row per mutation: who, what, when, from where, before and after; chained per organization by hashes."""

from django.db import models


class Entry(models.Model):
    """Append-only: a database trigger refuses UPDATE, DELETE and TRUNCATE, whoever asks."""

    organization_id = models.BigIntegerField(
        null=True, editable=False, help_text="Empty: an act on the platform itself."
    )
    position = models.BigIntegerField(editable=False, help_text="1, 2, 3, … within the organization's chain.")
    occurred_at = models.DateTimeField(editable=False)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=254)
    credential = models.CharField(
        max_length=32, blank=True, help_text="The used credential's prefix, never the secret."
    )
    request_id = models.CharField(max_length=100, blank=True)
    action = models.CharField(max_length=60)
    entity_type = models.CharField(max_length=40)
    entity_key = models.CharField(max_length=200)
    project = models.CharField(max_length=100, blank=True)
    environment = models.CharField(max_length=100, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    changes = models.JSONField(default=list, help_text="Field by field: path, before, after.")
    reason = models.TextField(blank=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    key_id = models.CharField(
        max_length=16, blank=True, default="", db_default="", help_text="Which key sealed the row; empty: none."
    )

    class Meta:
        verbose_name_plural = "entries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "position"], name="audit_position_once", nulls_distinct=False
            )
        ]
        indexes = [
            models.Index(fields=["organization_id", "-occurred_at"], name="audit_by_time"),
            models.Index(fields=["organization_id", "entity_type", "entity_key", "-id"], name="audit_by_entity"),
        ]

    def __str__(self) -> str:
        return f"{self.occurred_at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.action} {self.entity_key}"
