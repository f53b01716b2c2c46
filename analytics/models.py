"""Raw events, append-only and partitioned by the time in their ids; what is kept up beside them; dead letters."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenancy.models import Environment


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


class ExposurePhase(models.Model):
    """From `started_at` on, units of the experiment are first exposed anew (a restart, a changed split).

    Before an experiment's first row there is the phase that starts at the Unix epoch.
    """

    pk = models.CompositePrimaryKey("environment_id", "experiment", "started_at")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    started_at = models.DateTimeField()
    is_counted = models.BooleanField(
        db_default=False, help_text="Its first units were counted as it was opened; older releases do not."
    )

    class Meta:
        db_table = "exposure_phases"

    def __str__(self) -> str:
        return f"{self.experiment} from {self.started_at}"


class FirstExposure(models.Model):
    """A unit in a phase of an experiment, kept up by the ingest: its first variant and when it saw another one.

    Times only ever move back, and only by earlier events, so the order in which events arrive does not matter.
    """

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "unit_id")
    environment_id = models.BigIntegerField()
    phase = models.DateTimeField()
    first_at = models.DateTimeField(null=True, help_text="Empty while only bots' exposures are known.")
    crossed_at = models.DateTimeField(null=True, help_text="When it first saw another variant than its first.")
    bot_at = models.DateTimeField(null=True, help_text="Its first exposure that is a bot's.")
    bot_variant_at = models.DateTimeField(null=True, help_text="The `bot_at` that `bot_variant` was seen at.")
    experiment = models.TextField()
    variant = models.TextField(null=True)  # noqa: DJ001 - as first_at
    unit_id = models.TextField()
    bot_variant = models.TextField(null=True)  # noqa: DJ001 - as bot_at

    class Meta:
        db_table = "first_exposures"

    def __str__(self) -> str:
        return f"{self.unit_id} in {self.experiment}: {self.variant}"


class CohortChange(models.Model):
    """How often a UTC day's first exposures changed: it tells whether sums kept of that day's units still hold."""

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "day")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    day = models.DateField()
    changes = models.BigIntegerField()

    class Meta:
        db_table = "cohort_changes"

    def __str__(self) -> str:
        return f"{self.experiment} on {self.day}: {self.changes}"


class CohortSize(models.Model):
    """How many units were first exposed on one UTC day to one variant, crossovers among them.

    A day's counts hold while their `changes` add up to the day's own.
    """

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "day", "variant")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    day = models.DateField()
    variant = models.TextField()
    units = models.BigIntegerField()
    changes = models.BigIntegerField()

    class Meta:
        db_table = "cohort_sizes"

    def __str__(self) -> str:
        return f"{self.units} of {self.experiment}={self.variant}, first exposed on {self.day}"


class ConversionDay(models.Model):
    """Conversions that happened on a UTC day, as far as they are stored."""

    pk = models.CompositePrimaryKey("environment_id", "event_name", "day")
    environment_id = models.BigIntegerField()
    event_name = models.TextField()
    day = models.DateField()
    events = models.BigIntegerField()

    class Meta:
        db_table = "conversion_days"

    def __str__(self) -> str:
        return f"{self.event_name} on {self.day}: {self.events}"


class CohortSum(models.Model):
    """A metric's sums over the units first exposed on one UTC day to one variant, crossovers among them.

    They hold while `changes` and `arrived` are what the counters say. `window_ms` is the metric's.
    """

    pk = models.CompositePrimaryKey(
        "environment_id", "experiment", "phase", "event_name", "window_ms", "day", "variant"
    )
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    phase = models.DateTimeField()
    event_name = models.TextField()
    window_ms = models.BigIntegerField()
    day = models.DateField()
    variant = models.TextField()
    changes = models.BigIntegerField()
    arrived = models.BigIntegerField(help_text="Conversions of the days in which this day's units could convert.")
    cut = models.TextField(db_default="", help_text="What pauses took of the day: it is about the rest.")
    last_event_at = models.DateTimeField(null=True, help_text="When the latest of them happened, or came.")
    users = models.BigIntegerField()
    converted = models.BigIntegerField()
    total_micros = models.DecimalField(max_digits=40, decimal_places=0)
    squares_micros = models.DecimalField(max_digits=60, decimal_places=0)
    events = models.BigIntegerField()
    event_squares = models.BigIntegerField()

    class Meta:
        db_table = "cohort_sums"

    def __str__(self) -> str:
        return f"{self.event_name} of {self.experiment}={self.variant}, first exposed on {self.day}"


class _CohortAnswer(models.Model):
    """What is kept of the units first exposed on one UTC day to one variant; `question` tells which figures."""

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


class _CohortFigures(_CohortAnswer):
    """Sums over units of two figures of each, crossovers among them: in millionths, and their squares and products."""

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
    """Of the units first exposed on one UTC day to one variant; they hold as `CohortSum` does."""

    class Meta:
        db_table = "cohort_pairs"


class CohortDistribution(_CohortAnswer):
    """Figures of events, or of units, first exposed on one UTC day to one variant, crossovers among them, and how many.

    `packed` is laid out as `analytics.stores.distributions` says; `question` tells which figures. They hold as a
    `CohortSum` does, and go when one of the units is erased.
    """

    units = models.BigIntegerField()
    packed = models.BinaryField()

    class Meta:
        db_table = "cohort_distributions"


class CohortSegment(_CohortFigures):
    """As `CohortPair`, of those units alone that carried one value of an attribute first, on that day.

    `question` names the attribute, too. They hold while `folds` is that of their day in `segment_days` as well.
    """

    pk = models.CompositePrimaryKey("environment_id", "experiment", "phase", "question", "day", "variant", "segment")
    segment = models.TextField(help_text="The value as JSON; empty: none was carried that day.")
    folds = models.BigIntegerField()

    class Meta:
        db_table = "cohort_segments"


class ExperimentFlag(models.Model):
    """A flag that exposures of an experiment were of: its counts tell whether any came since."""

    pk = models.CompositePrimaryKey("environment_id", "experiment", "flag_key")
    environment_id = models.BigIntegerField()
    experiment = models.TextField()
    flag_key = models.TextField()

    class Meta:
        db_table = "experiment_flags"

    def __str__(self) -> str:
        return f"{self.flag_key} in {self.experiment}"


class UnitSegment(models.Model):
    """What a unit's first exposure of a phase that carried an attribute carried, as far as days are folded."""

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
    """A UTC day whose exposures are in `unit_segments`: so it is while as many of its flags are counted."""

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


class FlagExposureHour(models.Model):
    """Exposures of one UTC hour, for good; hours beyond the raw events' retention are merged into days."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "hour", "variant", "reason")
    environment_id = models.BigIntegerField()
    hour = models.DateTimeField()
    exposures = models.BigIntegerField()
    bots = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()
    reason = models.TextField()

    class Meta:
        db_table = "flag_exposure_hours"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} at {self.hour}: {self.exposures}"


class FlagUnit(models.Model):
    """A unit that saw a variant of a flag, with the UTC hour it last did; bots have none."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "variant", "unit_id")
    environment_id = models.BigIntegerField()
    last_hour = models.DateTimeField()
    flag_key = models.TextField()
    variant = models.TextField()
    unit_id = models.TextField()

    class Meta:
        db_table = "flag_units"

    def __str__(self) -> str:
        return f"{self.unit_id} saw {self.flag_key}={self.variant}"


class FlagUnitHour(models.Model):
    """How many units were last seen in an hour: summed from an hour on, the exact number of users since then."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "last_hour", "variant")
    environment_id = models.BigIntegerField()
    last_hour = models.DateTimeField()
    units = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()

    class Meta:
        db_table = "flag_unit_hours"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant}: {self.units} last seen at {self.last_hour}"


class FlagUnitDays(models.Model):
    """The UTC days on which a unit saw a variant of a flag, as far as they are folded; bots have none."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "variant", "unit_id")
    environment_id = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()
    unit_id = models.TextField()
    days = ArrayField(models.DateField(), help_text="In order, each once.")
    hours = ArrayField(
        models.IntegerField(), default=list, help_text="Of each day a mask; none while no day's hours are known."
    )

    class Meta:
        db_table = "flag_unit_days"

    def __str__(self) -> str:
        return f"{self.unit_id} saw {self.flag_key}={self.variant} on {len(self.days)} days"


class FlagDayStep(models.Model):
    """How many units of a day were last seen on a former day: summed over a window's days, its exact users.

    Those are the steps to its days from days before it. `cells` tell the hours of both, as
    `analytics.stores.postgres.rollups.flag_steps`
    says; a step from a day to itself leads from one of its hours to a later one.
    """

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "day", "former_day", "variant")
    environment_id = models.BigIntegerField()
    day = models.DateField()
    former_day = models.DateField(help_text="The first of January of the year 1: there was none.")
    units = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()
    cells = ArrayField(models.SmallIntegerField(), default=list, help_text="In order; none while no hours are known.")
    cell_units = ArrayField(models.IntegerField(), default=list, help_text="Of each cell; they add up to `units`.")

    class Meta:
        db_table = "flag_day_steps"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} on {self.day}: {self.units} last seen on {self.former_day}"


class FlagDayFold(models.Model):
    """A day of a flag whose units are known: each hour of it holds while as many exposures are counted in it."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "day")
    environment_id = models.BigIntegerField()
    flag_key = models.TextField()
    day = models.DateField()
    events = models.BigIntegerField(help_text="Exposures that were counted in the day, bots' too.")
    hour_events = ArrayField(
        models.BigIntegerField(), default=list, help_text="Of each hour; none while only the days of units are known."
    )

    class Meta:
        db_table = "flag_day_folds"

    def __str__(self) -> str:
        return f"{self.flag_key} on {self.day}: {self.events}"


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
