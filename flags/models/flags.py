"""Flags, segments and layers, as they are edited."""

import json
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, BigIntegerRangeField, IntegerRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Func, Q
from openflagship.ids import uuid7
from psycopg.types.range import Range

from tenancy.models import Environment, Exposures, Project

MAX_UNIT_NAME_CHARACTERS = 100
MAX_LINKS = 20

key_syntax = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z",
    "Use letters, digits, dot, underscore and hyphen, beginning with a letter or digit, at most 100.",
)


class UnitNamesField(models.CharField):
    """The name of an attribute, or a list of up to three. The column holds one name as it is, and a list as JSON."""

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | list[str] | None:
        if value is None or not value.startswith("["):
            return value
        names: list[str] = json.loads(value)
        return names if len(names) > 1 else names[0]

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, list) else super().to_python(value)

    def get_prep_value(self, value: Any) -> Any:
        names = [value] if isinstance(value, str) and value.startswith("[") else value
        return json.dumps(names, ensure_ascii=False) if isinstance(names, list) else super().get_prep_value(names)

    def run_validators(self, value: Any) -> None:
        """Each name alone, as long as a single one may be."""
        for name in value if isinstance(value, list) else [value]:
            if len(name) > MAX_UNIT_NAME_CHARACTERS:
                raise ValidationError(
                    f"Name an attribute in at most {MAX_UNIT_NAME_CHARACTERS} characters.", code="max_length"
                )


class Flag(models.Model):
    """A named decision of a project. Its key never changes, because code refers to it and it is the default salt."""

    class Type(models.TextChoices):
        BOOLEAN = "boolean", "Boolean"
        STRING = "string", "String"
        NUMBER = "number", "Number"
        JSON = "json", "JSON"

    class Kind(models.TextChoices):
        """What the flag is for."""

        RELEASE = "release", "Release"
        EXPERIMENT = "experiment", "Experiment"
        OPS = "ops", "Operations"
        PERMISSION = "permission", "Permission"
        KILL_SWITCH = "kill_switch", "Kill switch"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="flags")
    key = models.CharField(max_length=100, validators=[key_syntax])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    type = models.CharField(max_length=10, choices=Type.choices, default=Type.BOOLEAN)
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    owner = models.CharField(
        max_length=150, blank=True, default="", db_default="", help_text="The username of who looks after it."
    )
    team = models.CharField(max_length=60, blank=True, default="", db_default="")
    kind = models.CharField(
        max_length=12, choices=Kind.choices, blank=True, default="", db_default="", help_text="Empty: nobody has said."
    )
    is_permanent = models.BooleanField(null=True, blank=True, help_text="Empty: as its kind is.")
    expected_end = models.DateField(null=True, blank=True)
    links = models.JSONField(default=list, db_default=[], blank=True, help_text="[{title, url}, …]")
    metadata = models.JSONField(default=dict, blank=True)
    variants = models.JSONField(default=list, help_text='In the order they are laid out: [{"key": …, "value": …}].')
    is_archived = models.BooleanField(default=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="flag_key_once"),
            models.CheckConstraint(condition=~Q(key="evaluate"), name="flag_key_not_reserved"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def is_lasting(self) -> bool:
        """Whether it is meant to stay: as somebody said, else by its kind. An unknown kind is taken for temporary."""
        if self.is_permanent is not None:
            return self.is_permanent
        return self.kind in {self.Kind.OPS, self.Kind.PERMISSION, self.Kind.KILL_SWITCH}


class FlagConfig(models.Model):
    """A flag's configuration in one environment. It stores bucket ranges, so that no evaluation works with weights."""

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="configs")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="flag_configs")
    is_enabled = models.BooleanField("on", default=False)
    default_variant = models.CharField(max_length=100)
    off_variant = models.CharField(max_length=100)
    kill_switch_variant = models.CharField(max_length=100, blank=True)
    killed_at = models.DateTimeField(null=True, blank=True, editable=False)
    kill_reason = models.TextField(blank=True, editable=False)
    # Room for three names as JSON, in which a character may take six.
    bucket_by = UnitNamesField(max_length=2_000, default="userId")
    salt = models.CharField(max_length=150)
    prerequisites = models.JSONField(default=list, blank=True)
    targets = models.JSONField(default=list, blank=True)
    allocation = models.JSONField(default=list, blank=True, help_text="[[start, end, variant], …] of 10,000 buckets.")
    experiment = models.JSONField(
        null=True,
        blank=True,
        editable=False,
        help_text="The running experiment's part of the snapshot, if there is one.",
    )
    exposures = models.CharField(
        max_length=12,
        choices=Exposures.choices,
        blank=True,
        default="",
        db_default="",
        help_text="Which evaluations are logged; empty: as the environment says.",
    )
    version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "flag"
        ordering = ["flag__key"]
        constraints = [models.UniqueConstraint(fields=["flag", "environment"], name="config_once_per_environment")]
        indexes = [
            models.Index(fields=["environment", "updated_at", "id"], name="config_by_last_change"),
            models.Index(fields=["flag"], condition=~models.Q(prerequisites=[]), name="config_with_prerequisites"),
        ]

    def __str__(self) -> str:
        return f"{self.flag} in {self.environment}"

    @property
    def is_killed(self) -> bool:
        return bool(self.kill_switch_variant)

    @property
    def state(self) -> str:
        """The state of the flag: archived, killed, on or off. `flags.selectors.in_state` finds flags by it."""
        if self.flag.is_archived:
            return "archived"
        return "killed" if self.is_killed else "on" if self.is_enabled else "off"


class Rule(models.Model):
    """A targeting rule. If its conditions hold, it gives its variant, or a variant by its own allocation.

    The conditions are a list, all of which have to hold, or a tree as a segment has one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    config = models.ForeignKey(FlagConfig, on_delete=models.CASCADE, related_name="rules")
    priority = models.PositiveIntegerField(help_text="Ascending; the first rule that matches decides.")
    name = models.CharField(max_length=200, blank=True)
    conditions = models.JSONField(default=list)
    variant = models.CharField(max_length=100, blank=True)
    allocation = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["priority"]
        constraints = [
            models.UniqueConstraint(
                fields=["config", "priority"],
                name="rule_priority_once",
                deferrable=models.Deferrable.DEFERRED,
                violation_error_message="Another rule of this flag has that priority already.",
            )
        ]

    def __str__(self) -> str:
        return self.name or f"Rule {self.priority}"


class Segment(models.Model):
    """A named audience of an environment: ids that are included or excluded, and a tree of conditions for the rest."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="segments")
    key = models.CharField(max_length=100, validators=[key_syntax])
    name = models.CharField(max_length=200)
    included = models.JSONField(default=list, blank=True)
    excluded = models.JSONField(default=list, blank=True)
    conditions = models.JSONField(null=True, blank=True)
    version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["environment", "key"], name="segment_key_once")]

    def __str__(self) -> str:
        return self.name


class Layer(models.Model):
    """A set of mutually exclusive experiments in an environment: a unit takes part in at most one of them."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="layers")
    key = models.CharField(max_length=100, validators=[key_syntax])
    name = models.CharField(max_length=200)
    salt = models.CharField(max_length=150, editable=False, help_text="Fixed at creation; never that of a flag.")
    holdout_buckets = models.PositiveIntegerField(
        default=0, help_text="The highest buckets, which no experiment may have: their units take part in none."
    )
    version = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "key"], name="layer_key_once"),
            models.CheckConstraint(condition=Q(holdout_buckets__lte=10_000), name="layer_holdout_within_10000"),
        ]

    def __str__(self) -> str:
        return self.name


class LayerSlot(models.Model):
    """Buckets of a layer that belong to one experiment or to the holdout. The database refuses an overlap."""

    layer = models.ForeignKey(Layer, on_delete=models.PROTECT, related_name="slots")
    experiment_id = models.UUIDField(null=True, blank=True, db_index=True, help_text="Nobody's is the layer's holdout.")
    buckets = IntegerRangeField(help_text="Half-open, within 0 to 10,000.")

    class Meta:
        ordering = ["layer", "buckets"]
        constraints = [
            # Each layer has 10,000 numbers of one number line. So GiST suffices, and the constraint needs no btree_gist
            # extension, which the embedded server does not have.
            ExclusionConstraint(
                name="layer_slots_never_overlap",
                expressions=[
                    (
                        Func(
                            template="int8range(layer_id * 10000 + lower(buckets), layer_id * 10000 + upper(buckets))",
                            output_field=BigIntegerRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    )
                ],
            ),
            models.CheckConstraint(
                condition=Q(buckets__contained_by=Range(0, 10_000)) & Q(buckets__isempty=False),
                name="layer_slot_within_10000",
            ),
            models.UniqueConstraint(
                fields=["layer"], condition=Q(experiment_id__isnull=True), name="layer_holdout_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.layer} {self.buckets.lower} to {self.buckets.upper}"
