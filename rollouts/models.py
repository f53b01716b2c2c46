"""Rollout plans with their flags, templates, scheduled changes, triggers, and the switch that stops all of it."""

from django.db import models
from django.db.models import F, Q
from openflagship.ids import uuid7

from flags.models import FlagConfig, key_syntax
from tenancy.models import Environment, Organization, User


class RolloutPlan(models.Model):
    """Steps that raise the share of one variant, in one flag or in several at once, in one environment.

    `steps` is the validated document of the API. A worker takes the row once it is due; see `rollouts.executor`.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Not started"
        RUNNING = "running", "Running"
        HELD = "held", "Held"
        ROLLED_BACK = "rolled_back", "Rolled back"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"

    class Then(models.TextChoices):
        NOTHING = "", "Nothing more"
        MAKE_PERMANENT = "make_permanent", "Make it permanent"

    # A flag has at most one plan in these states.
    OPEN = (State.DRAFT, State.RUNNING, State.HELD, State.ROLLED_BACK)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="rollout_plans")
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    steps = models.JSONField(help_text="As the API takes them.")
    then = models.CharField(max_length=20, choices=Then.choices, blank=True, default="")
    template = models.CharField(max_length=100, blank=True, help_text="Whose steps it began with.")
    after_environment = models.JSONField(
        null=True,
        blank=True,
        help_text='{"environment", "for"}: where everybody has to have had it first, and how long.',
    )
    current_step = models.PositiveSmallIntegerField(default=0, help_text="How many steps were taken.")
    started_at = models.DateTimeField(null=True, blank=True)
    entered_at = models.DateTimeField(null=True, blank=True, help_text="When the present step was due.")
    written_at = models.DateTimeField(null=True, blank=True, help_text="Since when the present step is served.")
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When it was held or rolled back.")
    finished_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When a worker looks at it next; empty: never.")
    next_step_at = models.DateTimeField(null=True, blank=True, help_text="When the next step is due, if time decides.")
    waits_for = models.CharField(max_length=12, blank=True)
    waits_because = models.TextField(blank=True)
    approvals = models.JSONField(default=dict, blank=True, help_text='{"3": {"at", "by"}}, by the step\'s number.')
    verdicts = models.JSONField(default=list, blank=True, help_text="What each guardrail said the last time.")
    history = models.JSONField(default=list, blank=True, help_text="[{at, act, step, percent, why}], the oldest first.")
    started_by = models.CharField(max_length=254, blank=True)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "rollout plan"
        ordering = ["-id"]
        constraints = [
            # The anchor is taken in the transaction of the start; the times are there from then on.
            models.CheckConstraint(
                condition=Q(state="draft", started_at__isnull=True)
                | Q(state="cancelled")
                | (~Q(state__in=["draft", "cancelled"]) & Q(started_at__isnull=False, entered_at__isnull=False)),
                name="rollout_started_with_times",
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True) | Q(finished_at__gte=F("created_at")),
                name="rollout_finished_after_created",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="rollout_due", condition=Q(state="running", due_at__isnull=False)),
            models.Index(fields=["environment", "state"], name="rollout_by_state"),
        ]

    def __str__(self) -> str:
        return f"Rollout plan of {', '.join(part.config.flag.key for part in self.parts.all())}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


class RolloutPart(models.Model):
    """One flag of a plan: whose share is raised where, what it was before, and its ranges on each step."""

    plan = models.ForeignKey(RolloutPlan, on_delete=models.CASCADE, related_name="parts")
    config = models.ForeignKey(FlagConfig, on_delete=models.CASCADE, related_name="rollout_parts", verbose_name="flag")
    position = models.PositiveSmallIntegerField(default=0)
    variant = models.CharField(max_length=100)
    rule_id = models.UUIDField(null=True, blank=True, help_text="Empty: the default rollout.")
    anchor_version = models.BigIntegerField(null=True, blank=True, help_text="The flag's version before the plan.")
    anchor = models.JSONField(null=True, blank=True, help_text="The flag's document before the plan.")
    rungs = models.JSONField(default=list, blank=True, help_text="The ranges of each step.")
    is_open = models.BooleanField(default=True, help_text="Whether its plan is not at its end.")

    class Meta:
        ordering = ["plan", "position"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "config"], name="rollout_flag_once"),
            models.UniqueConstraint(fields=["config"], condition=Q(is_open=True), name="rollout_one_open_per_flag"),
            models.CheckConstraint(
                condition=Q(anchor__isnull=True, anchor_version__isnull=True)
                | Q(anchor__isnull=False, anchor_version__isnull=False),
                name="rollout_anchor_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.config.flag.key} in {self.plan_id}"


class RolloutTemplate(models.Model):
    """Named steps of an organization. Those that are built in stand in `rollouts.planning.templates`."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="rollout_templates")
    key = models.CharField(max_length=100, validators=[key_syntax])
    name = models.CharField(max_length=200)
    steps = models.JSONField()
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["organization", "key"], name="rollout_template_key_once")]

    def __str__(self) -> str:
        return self.name


class ScheduledChange(models.Model):
    """A patch of a flag, a segment or an experiment with the version it was made for, due at an instant or by cron."""

    class Resource(models.TextChoices):
        FLAG = "flag", "Flag"
        SEGMENT = "segment", "Segment"
        EXPERIMENT = "experiment", "Experiment"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        PUBLISHED = "published", "Published"
        HELD = "held", "Held"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="scheduled_changes")
    resource_type = models.CharField(max_length=12, choices=Resource.choices)
    resource_key = models.CharField(max_length=100)
    patch = models.JSONField()
    base_version = models.BigIntegerField()
    base = models.JSONField(help_text="What the patched fields were at that version.")
    at = models.DateTimeField(null=True, blank=True)
    cron = models.CharField(max_length=100, blank=True)
    zone = models.CharField(max_length=60, default="UTC")
    title = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    reason = models.TextField(blank=True, help_text="Why it is held, or waits past its time.")
    due_at = models.DateTimeField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True, help_text="The last time.")
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.CharField(max_length=254)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "scheduled change"
        ordering = ["due_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(at__isnull=False, cron="") | (Q(at__isnull=True) & ~Q(cron="")), name="scheduled_at_or_cron"
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="scheduled_due", condition=Q(state="waiting")),
            models.Index(fields=["environment", "resource_type", "resource_key"], name="scheduled_by_resource"),
        ]

    def __str__(self) -> str:
        return self.title or f"Change of the {self.resource_type} {self.resource_key}"


class Trigger(models.Model):
    """A secret address that an alert calls, with one fixed act."""

    class Act(models.TextChoices):
        KILL_FLAG = "kill_flag", "Kill the flag"
        SWITCH_OFF_FLAG = "switch_off_flag", "Switch the flag off"
        HOLD_PLAN = "hold_plan", "Hold the flag's rollout plan"
        ROLL_BACK_PLAN = "roll_back_plan", "Roll the flag's rollout plan back"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    config = models.ForeignKey(FlagConfig, on_delete=models.CASCADE, related_name="triggers", verbose_name="flag")
    name = models.CharField(max_length=200)
    act = models.CharField(max_length=20, choices=Act.choices)
    enabled = models.BooleanField(default=True)
    prefix = models.CharField(max_length=40, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    last_called_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_acted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.CharField(max_length=254)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def environment(self) -> Environment:
        return self.config.environment


class TriggerCall(models.Model):
    """An alert that made a trigger act; the same one again within an hour does nothing."""

    trigger = models.ForeignKey(Trigger, on_delete=models.CASCADE, related_name="calls")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what the alert calls itself.")
    acted_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trigger", "fingerprint"], name="trigger_call_once")]

    def __str__(self) -> str:
        return f"{self.trigger_id} {self.fingerprint[:8]}"


class RolloutStop(models.Model):
    """All that plans and schedules of an organization do by themselves is stopped while there is such a row."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="rollout_stop"
    )
    reason = models.TextField(blank=True)
    stopped_by = models.CharField(max_length=254)
    stopped_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.reason}"
