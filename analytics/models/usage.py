"""Which flags are asked for, by whom: evaluations with and without a unit, and keys that no flag has."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class UsageSource(models.Model):
    """Who evaluates in an environment. At most so many are told apart; the rest share one without a name."""

    environment_id = models.BigIntegerField()
    kind = models.TextField(help_text="api, ofrep, sdk or edge.")
    service = models.TextField(help_text="The service that asks, else its credential's name; empty: the rest.")
    sdk = models.TextField(help_text='Name and version, such as "python/0.1.0"; empty where there is none.')

    class Meta:
        db_table = "usage_sources"
        constraints = [
            models.UniqueConstraint(fields=["environment_id", "kind", "service", "sdk"], name="usage_sources_once")
        ]

    def __str__(self) -> str:
        return f"{self.service or 'others'} ({self.kind} {self.sdk})"


class FlagUsage(models.Model):
    """A flag, one of its variants, a reason and a source, that are counted together."""

    environment_id = models.BigIntegerField()
    last_at = models.DateTimeField(help_text="When it was evaluated last, to the minute.")
    source = models.ForeignKey(UsageSource, on_delete=models.CASCADE, db_index=False, related_name="+")
    flag_key = models.TextField()
    variant = models.TextField(help_text="Empty: the caller's default was served, or a variant that it no longer has.")
    reason = models.TextField()

    class Meta:
        db_table = "flag_usage"
        constraints = [
            models.UniqueConstraint(
                fields=["environment_id", "flag_key", "source", "variant", "reason"], name="flag_usage_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.flag_key}={self.variant} ({self.reason})"


class FlagUsageHours(models.Model):
    """The evaluations of the last UTC day on which there were any, and of the day before it, by their 48 hours.

    Every row is as long as the others and changes where it stands, with half of each page free for that. So the table
    does not grow while rows are counted up, whether or not vacuum comes by.
    """

    usage = models.OneToOneField(FlagUsage, on_delete=models.CASCADE, primary_key=True, related_name="+")
    day = models.DateField(help_text="The later one.")
    hours = ArrayField(models.IntegerField(), size=48, null=True)
    large_hours = ArrayField(models.BigIntegerField(), size=48, null=True, help_text="Where an hour has over 2³¹.")

    class Meta:
        db_table = "flag_usage_hours"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hours__isnull=True, large_hours__isnull=False)
                | models.Q(hours__isnull=False, large_hours__isnull=True),
                name="flag_usage_hours_one",
            )
        ]

    def __str__(self) -> str:
        return f"{self.usage_id} on {self.day}"


class FlagUsageMonth(models.Model):
    """The evaluations of a month, by its days. Days come here once their hours are let go."""

    pk = models.CompositePrimaryKey("usage_id", "month")
    usage = models.ForeignKey(FlagUsage, on_delete=models.CASCADE, db_index=False, related_name="months")
    month = models.DateField(help_text="Its first day.")
    days = ArrayField(models.BigIntegerField(), size=31)

    class Meta:
        db_table = "flag_usage_months"

    def __str__(self) -> str:
        return f"{self.usage_id} in {self.month:%Y-%m}"


class UnknownFlag(models.Model):
    """A key that was asked for and that no flag had. Of each environment the most asked for are kept."""

    pk = models.CompositePrimaryKey("environment_id", "flag_key", "source_id")
    environment_id = models.BigIntegerField()
    evaluations = models.BigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    source = models.ForeignKey(UsageSource, on_delete=models.CASCADE, db_index=False, related_name="+")
    flag_key = models.TextField()

    class Meta:
        db_table = "unknown_flags"

    def __str__(self) -> str:
        return f"{self.flag_key}: {self.evaluations}"


class UsageReceipt(models.Model):
    """A batch of usage that was counted. While it is known, the same batch is not counted again."""

    pk = models.CompositePrimaryKey("environment_id", "batch")
    environment_id = models.BigIntegerField(help_text="0: a batch of the server's own, of any environments.")
    received_at = models.DateTimeField()
    batch = models.TextField()

    class Meta:
        db_table = "usage_receipts"
        indexes = [models.Index(fields=["received_at"], name="usage_receipts_age")]

    def __str__(self) -> str:
        return self.batch
