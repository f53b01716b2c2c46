"""What the ingest derives for experiments: phases, first exposures and counters."""

from django.db import models


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
    """A unit in a phase of an experiment, updated by the ingest: its first variant and when it saw another one.

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
    """How often a UTC day's first exposures changed: it tells whether roll-ups of that day's units are valid."""

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

    A day's counts are valid while their `changes` add up to the day's own.
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
