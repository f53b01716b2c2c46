"""The environment's version log, from which everything is served, and the keys that sign it."""

from django.db import models
from openflagship import stream_kinds

from tenancy.models import Environment


class Change(models.Model):
    """One step of an environment's version log, with the whole document of the flag or segment that changed."""

    class Kind(models.TextChoices):
        FLAG_UPDATED = stream_kinds.FLAG_UPDATED
        FLAG_ARCHIVED = stream_kinds.FLAG_ARCHIVED
        KILL_SWITCH = stream_kinds.KILL_SWITCH
        SEGMENT_UPDATED = stream_kinds.SEGMENT_UPDATED

    class Entity(models.TextChoices):
        FLAG = stream_kinds.FLAG
        SEGMENT = stream_kinds.SEGMENT

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="changes")
    version = models.BigIntegerField(help_text="The environment's version after this change.")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    entity = models.CharField(max_length=10, choices=Entity.choices)
    key = models.CharField(max_length=100)
    document = models.JSONField(null=True, help_text="Empty where the thing is no longer served.")
    presentation = models.JSONField(
        default=dict, db_column="about", help_text="What evaluators need not know: name, description, tags."
    )
    actor_label = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["environment", "version"]
        constraints = [models.UniqueConstraint(fields=["environment", "version"], name="version_once_per_environment")]
        indexes = [models.Index(fields=["environment", "entity", "key", "-version"], name="change_by_entity")]

    def __str__(self) -> str:
        return f"{self.environment} v{self.version}: {self.kind} {self.key}"


class LogFloor(models.Model):
    """How far back an environment's version log is complete. Without a row it is complete to its beginning.

    From the floor on, every step is there and the state at each version is known. Below it, only steps that something
    still needs are there.
    """

    environment = models.OneToOneField(
        Environment, on_delete=models.CASCADE, primary_key=True, related_name="log_floor"
    )
    version = models.BigIntegerField(default=0)
    pruned_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.environment}: from version {self.version}"


class SnapshotSigning(models.Model):
    """Which generations of an environment's signing secret are valid. Without a row only the first one is."""

    environment = models.OneToOneField(
        Environment, on_delete=models.CASCADE, primary_key=True, related_name="snapshot_signing"
    )
    generation = models.PositiveIntegerField(default=1)
    is_previous_valid = models.BooleanField(default=False)
    rotated_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.environment}: generation {self.generation}"

    @property
    def generations(self) -> tuple[int, ...]:
        return (self.generation, self.generation - 1) if self.is_previous_valid else (self.generation,)
