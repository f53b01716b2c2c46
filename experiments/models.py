"""Metrics, experiments with their phases, and stored results. Constraints hold what no service may ever break.

A comparison with NULL satisfies a CHECK, so each constraint also requires the value.
"""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from openflagship.ids import uuid7

from flags.models import FlagConfig, Layer, key_syntax
from tenancy.models import Environment, Project


class Metric(models.Model):
    """A measurement per user, from the events of one name. A ratio divides it by the events of another name."""

    class Goal(models.TextChoices):
        INCREASE = "increase", "Increase"
        DECREASE = "decrease", "Decrease"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="metrics")
    key = models.CharField(max_length=100, validators=[key_syntax])
    name = models.CharField(max_length=200)
    # One of `analysis.metric_types`, which the services check: a further type needs no change here.
    type = models.CharField(max_length=10, default="binary")
    event_name = models.CharField(max_length=200)
    denominator_event_name = models.CharField(max_length=200, blank=True)
    value_property = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="The event's property that is its value here; empty is the value the event was sent with.",
    )
    quantile = models.FloatField(null=True, blank=True, help_text="Between 0 and 1: 0.95 is the 95th percentile.")
    goal = models.CharField(max_length=10, choices=Goal.choices, default=Goal.INCREASE)
    window_hours = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long after the first exposure an event counts; empty is 7 days."
    )
    cap = models.FloatField(null=True, blank=True, help_text="A user's total counts at most this much.")
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="metric_key_once"),
            models.CheckConstraint(
                condition=Q(type="quantile", quantile__isnull=False, quantile__gt=0, quantile__lt=1)
                | (~Q(type="quantile") & Q(quantile__isnull=True)),
                name="metric_quantile_between_0_and_1",
            ),
            models.CheckConstraint(
                condition=(Q(type="ratio") & ~Q(denominator_event_name=""))
                | (~Q(type="ratio") & Q(denominator_event_name="")),
                name="metric_denominator_of_ratio",
            ),
            models.CheckConstraint(
                condition=Q(value_property="") | Q(type__in=["continuous", "ratio", "quantile"]),
                name="metric_property_of_values",
            ),
            models.CheckConstraint(condition=Q(cap__isnull=True) | Q(cap__gt=0), name="metric_cap_above_0"),
            models.CheckConstraint(
                condition=Q(window_hours__isnull=True) | Q(window_hours__gt=0), name="metric_window_above_0"
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Experiment(models.Model):
    """A comparison of a flag's variants in one environment. A running or paused one is part of the flag's document."""

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        COMPLETED = "completed", "Completed"

    class Method(models.TextChoices):
        ALWAYS_VALID = "always_valid", "Always valid (no planned end)"
        POCOCK = "pocock", "Pocock (planned users, early stopping)"
        OBRIEN_FLEMING = "obrien_fleming", "O'Brien-Fleming (planned users)"
        FIXED = "fixed", "Fixed horizon (one look, at the end)"

    class Correction(models.TextChoices):
        HOLM = "holm", "Holm"
        BENJAMINI_HOCHBERG = "bh", "Benjamini-Hochberg"
        NONE = "none", "None"

    class Decision(models.TextChoices):
        SHIP = "ship", "Ship a variant"
        STOP = "stop", "Stop"

    class Scope(models.TextChoices):
        EVERYONE = "everyone", "Everyone"
        AUDIENCE = "audience", "The audience"

    # Statuses in which the flag's document carries the experiment.
    SERVED = (Status.RUNNING, Status.PAUSED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="experiments")
    config = models.ForeignKey(FlagConfig, on_delete=models.PROTECT, related_name="experiments", verbose_name="flag")
    # Rows that an earlier release wrote have none, until the id is what they are asked for by.
    slug = models.CharField(
        "key",
        max_length=100,
        blank=True,
        default="",
        db_default="",
        validators=[key_syntax],
        help_text="What people and routes call it; made from the name where none is given, and never changed.",
    )
    name = models.CharField(max_length=200)
    hypothesis = models.TextField(blank=True)
    control_variant = models.CharField(max_length=100)
    layer = models.ForeignKey(
        Layer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="experiments",
        help_text="Shared with experiments that must not meet this one; empty is a layer of its own.",
    )
    layer_salt = models.CharField(
        max_length=200, editable=False, help_text="Of a layer of its own; text fixed at creation, never a database id."
    )
    traffic_bp = models.PositiveIntegerField(
        "traffic",
        default=10_000,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="Basis points of the layer's buckets that take part.",
    )
    audience = models.JSONField(null=True, blank=True, help_text="Conditions a unit must meet to take part, if any.")
    allocation = models.JSONField(
        "split",
        null=True,
        blank=True,
        help_text="[[start, end, variant], …] of 10,000 buckets. Empty: started before experiments owned their split, "
        "so the flag's allocation splits its users.",
    )
    priority = models.IntegerField(
        null=True, blank=True, help_text="Its place among the flag's rules; empty is after all of them."
    )
    primary_metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="primary_of")
    method = models.CharField(max_length=20, choices=Method.choices, default=Method.ALWAYS_VALID)
    alpha = models.FloatField(default=0.05)
    correction = models.CharField(max_length=4, choices=Correction.choices, default=Correction.HOLM)
    is_cuped = models.BooleanField("CUPED", default=False)
    winsorize_percent = models.FloatField(null=True, blank=True)
    minimum_effect = models.FloatField(
        null=True, blank=True, help_text="The smallest lift of interest, a fraction; equal means within it."
    )
    lift_prior_sd = models.FloatField(
        null=True, blank=True, help_text="Standard deviation of lifts expected beforehand; empty is a flat prior."
    )
    planned_users = models.PositiveIntegerField(
        null=True, blank=True, help_text="All arms together, fixed before start."
    )
    breakdowns = ArrayField(
        models.CharField(max_length=100),
        default=list,
        db_default=[],
        blank=True,
        help_text="Attributes that are kept with its exposures, to break the results down by.",
    )
    auto_pause_on_srm = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    decision = models.CharField(max_length=4, choices=Decision.choices, blank=True)
    shipped_variant = models.CharField(max_length=100, blank=True)
    shipped_to = models.CharField(max_length=10, choices=Scope.choices, blank=True, default="", db_default="")
    starts_at = models.DateTimeField(null=True, blank=True, help_text="When to start by itself.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="When to pause by itself, for a decision.")
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["config"],
                condition=Q(status__in=["running", "paused"]),
                name="experiment_one_at_a_time",
                violation_error_message="Another experiment is running on this flag; complete it first.",
            ),
            models.UniqueConstraint(fields=["environment", "slug"], condition=~Q(slug=""), name="experiment_key_once"),
            models.CheckConstraint(condition=Q(traffic_bp__gte=1, traffic_bp__lte=10_000), name="experiment_traffic"),
            models.CheckConstraint(condition=Q(alpha__gt=0, alpha__lt=1), name="experiment_alpha"),
            models.CheckConstraint(
                condition=Q(winsorize_percent__isnull=True) | Q(winsorize_percent__gt=0, winsorize_percent__lt=50),
                name="experiment_winsorize",
            ),
            models.CheckConstraint(
                condition=Q(minimum_effect__isnull=True) | Q(minimum_effect__gt=0, minimum_effect__lt=1),
                name="experiment_minimum_effect",
            ),
            models.CheckConstraint(
                condition=Q(lift_prior_sd__isnull=True) | Q(lift_prior_sd__gt=0, lift_prior_sd__lte=10),
                name="experiment_lift_prior",
            ),
            models.CheckConstraint(
                condition=Q(status="draft", started_at__isnull=True, ended_at__isnull=True)
                | Q(status__in=["running", "paused"], started_at__isnull=False, ended_at__isnull=True)
                | Q(
                    status="completed", started_at__isnull=False, ended_at__isnull=False, ended_at__gte=F("started_at")
                ),
                name="experiment_status_and_times_agree",
            ),
            models.CheckConstraint(
                condition=(Q(decision="") & ~Q(status="completed")) | (~Q(decision="") & Q(status="completed")),
                name="experiment_completed_with_decision",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """The id as text: what documents, answers and exposures name it by. `slug` is what people do."""
        return str(self.pk)

    @property
    def owns_split(self) -> bool:
        return self.allocation is not None

    @property
    def is_served(self) -> bool:
        return self.status in self.SERVED


class ExperimentMetric(models.Model):
    """A secondary metric of an experiment, or a guardrail with its margin and its action."""

    class Role(models.TextChoices):
        SECONDARY = "secondary", "Secondary"
        GUARDRAIL = "guardrail", "Guardrail"

    class Action(models.TextChoices):
        WARN = "warn", "Warn"
        PAUSE = "pause", "Pause the experiment"
        KILL = "kill", "Kill the flag to the control variant"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="metrics")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="uses")
    role = models.CharField(max_length=10, choices=Role.choices)
    position = models.PositiveSmallIntegerField(default=0)
    margin_percent = models.FloatField(
        null=True, blank=True, help_text="Harm below it, of the control's figure, passes."
    )
    action = models.CharField(max_length=5, choices=Action.choices, blank=True)
    exploratory_since = models.DateTimeField(
        null=True, blank=True, help_text="When it was added, if the experiment had started; it decides nothing."
    )

    class Meta:
        ordering = ["role", "position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "role", "metric"], name="experiment_metric_once"),
            models.CheckConstraint(
                condition=Q(
                    role="guardrail",
                    margin_percent__isnull=False,
                    margin_percent__gt=0,
                    action__in=["warn", "pause", "kill"],
                )
                | Q(role="secondary", margin_percent__isnull=True, action=""),
                name="experiment_guardrail_has_margin",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric} ({self.get_role_display()})"

    @property
    def is_planned(self) -> bool:
        """Whether it was named before the start; what came later is exploratory."""
        return self.exploratory_since is None


class Phase(models.Model):
    """A part of an experiment with one split, one targeting and one salt. Each phase is analysed by itself."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="phases")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    salt = models.CharField(max_length=150, help_text="The flag's salt, which the variants were dealt by.")
    bucket_by = models.CharField(max_length=100)
    weights = models.JSONField(help_text="Basis points by variant, all variants of the flag; SRM tests against these.")
    audience = models.JSONField(null=True, blank=True)
    config_version = models.BigIntegerField(help_text="The environment's version that opened it.")
    tuned_users = models.PositiveIntegerField(
        null=True, help_text="N*: the users at which its confidence sequences are tightest, fixed at the start."
    )
    definitions = models.JSONField(
        null=True, help_text="Its metrics as they were defined when it began; its figures go by them for good."
    )
    reason = models.TextField(default="", db_default="", blank=True, help_text="Why it began.")
    pauses = models.JSONField(default=list, blank=True, help_text="[[since, until or null], …], ISO 8601.")

    class Meta:
        ordering = ["experiment", "number"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "number"], name="phase_number_once"),
            models.UniqueConstraint(
                fields=["experiment"], condition=Q(ended_at__isnull=True), name="phase_one_open_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="phase_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment}, phase {self.number}"


class ExperimentResult(models.Model):
    """A result as it was computed. The row is enough to show it again, and to compute the same digits again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="results")
    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="results")
    since = models.DateTimeField()
    until = models.DateTimeField()
    watermark = models.DateTimeField(null=True, help_text="When the youngest event it rests on was received.")
    config_versions = ArrayField(models.BigIntegerField(), default=list)
    payload = models.JSONField()
    code_version = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the payload as canonical JSON.")
    computed_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    is_final = models.BooleanField(
        default=False, db_default=False, help_text="Of a whole phase, once nothing that counts can arrive any more."
    )

    class Meta:
        ordering = ["-until", "-computed_at"]
        get_latest_by = ["until", "computed_at"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "since", "until", "digest"], name="result_once"),
            models.UniqueConstraint(fields=["phase"], condition=Q(is_final=True), name="result_final_once"),
            models.CheckConstraint(condition=Q(until__gte=F("since")), name="result_window_forward"),
        ]
        indexes = [models.Index(fields=["experiment", "-until", "-computed_at"], name="result_by_experiment")]

    def __str__(self) -> str:
        return f"{self.experiment} until {self.until:%Y-%m-%d %H:%M}"


class JobRun(models.Model):
    """The last run of a scheduled job on an experiment, for the console: its start, duration and outcome."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="job_runs")
    job = models.CharField(max_length=40)
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    outcome = models.CharField(max_length=200)

    class Meta:
        ordering = ["job"]
        constraints = [models.UniqueConstraint(fields=["experiment", "job"], name="job_run_once")]

    def __str__(self) -> str:
        return f"{self.job} of {self.experiment}: {self.outcome}"


class Alarm(models.Model):
    """A fault that a job found in a phase, raised once: the sample ratio, or a guardrail of one variant."""

    class Kind(models.TextChoices):
        SRM = "srm", "Sample ratio"
        GUARDRAIL = "guardrail", "Guardrail"

    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="alarms")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    subject = models.CharField(max_length=210, blank=True, help_text="A guardrail's metric and variant.")
    action = models.CharField(max_length=5, choices=ExperimentMetric.Action.choices)
    detail = models.TextField()
    raised_at = models.DateTimeField()

    class Meta:
        ordering = ["-raised_at"]
        constraints = [models.UniqueConstraint(fields=["phase", "kind", "subject"], name="alarm_once_per_phase")]

    def __str__(self) -> str:
        return self.detail
