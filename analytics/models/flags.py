"""Who saw a flag: exposures and sketches of units by the hour, and units by the day."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class FlagExposureHour(models.Model):
    """Exposures of one UTC hour, for good. Hours beyond the raw events' retention are merged into days."""

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


class FlagHourSketch(models.Model):
    """The units that saw a variant of a flag in one UTC hour, as a sketch without bots (`analytics.stores.sketches`).

    It is valid while as many exposures are counted in the hour. Beyond the raw events' retention, hours become days.
    """

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "hour", "variant")
    environment_id = models.BigIntegerField()
    hour = models.DateTimeField()
    events = models.BigIntegerField(help_text="Exposures that were counted in the hour, bots' too.")
    flag_key = models.TextField()
    variant = models.TextField()
    sketch = models.BinaryField(help_text="Empty: of no unit.")

    class Meta:
        db_table = "flag_hour_sketches"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} at {self.hour}: {self.events}"


class FlagUnitDays(models.Model):
    """The UTC days on which a unit saw a variant of a flag, as far as they are aggregated. Bots have none."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "variant", "unit_id")
    environment_id = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()
    unit_id = models.TextField()
    days = ArrayField(models.DateField(), help_text="In order, each once.")

    class Meta:
        db_table = "flag_unit_days"

    def __str__(self) -> str:
        return f"{self.unit_id} saw {self.flag_key}={self.variant} on {len(self.days)} days"


class FlagDayStep(models.Model):
    """How many units of a day were last seen on a certain former day.

    The exact users of a window are the sum of the steps to its days from days before it.
    """

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "day", "former_day", "variant")
    environment_id = models.BigIntegerField()
    day = models.DateField()
    former_day = models.DateField(help_text="The first of January of the year 1: there was none.")
    units = models.BigIntegerField()
    flag_key = models.TextField()
    variant = models.TextField()

    class Meta:
        db_table = "flag_day_steps"

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} on {self.day}: {self.units} last seen on {self.former_day}"


class FlagDayRollup(models.Model):
    """An aggregated day of a flag. Its steps are valid while as many exposures are counted in the day."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "day")
    environment_id = models.BigIntegerField()
    flag_key = models.TextField()
    day = models.DateField()
    events = models.BigIntegerField(help_text="Exposures that were counted in the day, bots' too.")

    class Meta:
        db_table = "flag_day_folds"

    def __str__(self) -> str:
        return f"{self.flag_key} on {self.day}: {self.events}"
