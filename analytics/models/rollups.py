"""Roll-ups of experiments by cohort, the units first exposed on one UTC day."""

from django.db import models


class _CohortRollup(models.Model):
    """A roll-up of the units first exposed on one UTC day to one variant. `question` is the figures' cache key."""

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "question", "day", "variant")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    question = models.TextField()
    day = models.DateField()
    variant = models.TextField()
    changes = models.BigIntegerField()
    arrived = models.BigIntegerField(help_text="Conversions of the days in which this day's units' events count.")
    cut = models.TextField(db_default="", help_text="What pauses took of the day: it is about the rest.")
    last_event_at = models.DateTimeField(null=True, help_text="When the latest of them happened, or came.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.question} of {self.experiment}={self.variant}, first exposed on {self.day}"


class _CohortFigures(_CohortRollup):
    """Sums of two figures over units, crossovers included: in millionths, with their squares and products."""

    users = models.BigIntegerField()
    sum_y = models.DecimalField(max_digits=40, decimal_places=0)
    sum_yy = models.DecimalField(max_digits=80, decimal_places=0)
    sum_x = models.DecimalField(max_digits=40, decimal_places=0)
    sum_xx = models.DecimalField(max_digits=80, decimal_places=0)
    sum_xy = models.DecimalField(max_digits=80, decimal_places=0)
    above_cap = models.BigIntegerField(help_text="Units whose y would be larger than its cap.")

    class Meta:
        abstract = True


class CohortPair(_CohortFigures):
    """Figures that are valid while `changes` and `arrived` equal the counters."""

    class Meta:
        db_table = "cohort_pairs"


class CohortDistribution(_CohortRollup):
    """Figures of events or of units, crossovers included, by first day and variant, with the number of units.

    `analytics.stores.distributions` says how `packed` is laid out, and `question` which figures it has. They are valid
    as a `CohortPair` is, and are deleted when one of the units is erased.
    """

    units = models.BigIntegerField()
    packed = models.BinaryField()

    class Meta:
        db_table = "cohort_distributions"


class CohortSegment(_CohortFigures):
    """Figures as in `CohortPair`, of the units that carried one value of an attribute first, on that day.

    `question` also names the attribute. They are valid while `folds` is that of their day in `segment_days` as well.
    """

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "question", "day", "variant", "segment")
    segment = models.TextField(help_text="The value as JSON; empty: none was carried that day.")
    folds = models.BigIntegerField()

    class Meta:
        db_table = "cohort_segments"


class UnitSegment(models.Model):
    """What a unit's first exposure with an attribute carried, in a phase, as far as days are aggregated."""

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "attribute", "unit_id")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    attribute = models.TextField()
    unit_id = models.TextField()
    value = models.TextField(help_text="As JSON.")
    carried_at = models.DateTimeField()
    is_late = models.BooleanField(help_text="It may have been carried on a later UTC day than that of the first one.")

    class Meta:
        db_table = "unit_segments"
        indexes = [
            models.Index(
                fields=["environment_id", "experiment", "phase", "attribute"],
                condition=models.Q(is_late=True),
                name="unit_segments_late",
            )
        ]

    def __str__(self) -> str:
        return f"{self.unit_id} in {self.experiment}: {self.attribute} {self.value}"


class SegmentDay(models.Model):
    """A UTC day whose exposures are in `unit_segments`. It stays so while as many of its flags are counted."""

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "attribute", "day")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    attribute = models.TextField()
    day = models.DateField()
    events = models.BigIntegerField(help_text="Exposures of the flags that were counted in the day, bots' too.")
    folds = models.BigIntegerField(help_text="How often it was.")

    class Meta:
        db_table = "segment_days"

    def __str__(self) -> str:
        return f"{self.attribute} in {self.experiment} on {self.day}"
