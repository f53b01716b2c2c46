"""Policies of environments, change requests with their reviews, and freezes."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from openflagship.ids import uuid7

from audit.places import Place
from tenancy.models import Environment, Organization, Project, User
from tenancy.roles import Role

_ROLES: list[str] = [Role.ADMIN]


def _admins() -> list[str]:
    return list(_ROLES)


class Policy(models.Model):
    """What an environment asks before a change is served there. Without a row it asks nothing.

    A condition that is set narrows it: with none it asks for every change, else where one of them holds.
    """

    environment = models.OneToOneField(
        Environment, on_delete=models.CASCADE, primary_key=True, related_name="approval_policy"
    )
    required_approvals = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(20)])
    approver_roles = ArrayField(models.CharField(max_length=10, choices=Role.choices), default=_admins, blank=True)
    approver_groups = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    is_own_approval_allowed = models.BooleanField(default=False)
    impact_percent = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(100)])
    asks_for_experiments = models.BooleanField(default=False)
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    emergency_roles = ArrayField(models.CharField(max_length=10, choices=Role.choices), default=list, blank=True)
    checks = ArrayField(
        models.CharField(max_length=150), default=list, blank=True, help_text="Service accounts that have to approve."
    )
    version = models.BigIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "approval policy"
        verbose_name_plural = "approval policies"

    def __str__(self) -> str:
        return f"Policy of {self.environment}"

    @property
    def is_asking(self) -> bool:
        return self.required_approvals > 0 or bool(self.checks)


class ChangeRequest(models.Model):
    """Changes that wait for reviews, bound to what publishing them would serve."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        OPEN = "open", "Open"
        PUBLISHED = "published", "Published"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="change_requests")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    author_label = models.CharField(max_length=254)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    changes = models.JSONField(help_text="In the order in which they are made: resource, action, patch, baseVersion.")
    bases = models.JSONField(default=list, blank=True, help_text="What each changed resource was when it was proposed.")
    parts = models.JSONField(default=list, blank=True, help_text="Each thing before and after, as evaluators get it.")
    asks = models.JSONField(default=list, blank=True, help_text="What the policies ask of this content.")
    content = models.CharField(max_length=64, help_text="The hash of what publishing it would serve.")
    publish_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When the schedule looks at it next.")
    is_automatic = models.BooleanField(default=False, help_text="Published by itself as soon as it may be.")
    held_because = models.TextField(blank=True)
    reverts = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="reverted_by")
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.CharField(max_length=254, blank=True)
    published_version = models.BigIntegerField(null=True, blank=True)
    emergency_reason = models.TextField(blank=True)
    is_review_owed = models.BooleanField(default=False)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "change request"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["environment", "state", "-id"], name="change_request_by_state"),
            models.Index(fields=["due_at"], condition=Q(state="open"), name="change_request_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="published", published_at__isnull=False)
                | (~Q(state="published") & Q(published_at__isnull=True)),
                name="change_request_published_at",
            ),
            models.CheckConstraint(
                condition=Q(is_review_owed=False) | Q(state="published"), name="change_request_review_owed_after"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def audit_place(self) -> Place:
        return self.environment.audit_place


class Review(models.Model):
    """What somebody said about a request. The latest verdict of a reviewer stands; a comment is no verdict."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", "Approved"
        OBJECT = "object", "Objected"
        WITHDRAW = "withdraw", "Took the objection back"
        COMMENT = "comment", "Commented"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    reviewer_label = models.CharField(max_length=254)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    text = models.TextField(blank=True)
    content = models.CharField(max_length=64, help_text="The hash of the content that was looked at.")
    bases = models.JSONField(default=list, blank=True, help_text="The versions that the content was built on.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.reviewer_label}: {self.get_verdict_display()}"


class Freeze(models.Model):
    """A window in which nothing is published: of an organization, a project or an environment."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="freezes")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="freezes")
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, null=True, blank=True, related_name="freezes"
    )
    name = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    cron = models.CharField(max_length=100, blank=True, help_text="Begins it again and again; empty: it holds once.")
    duration = models.DurationField(null=True, blank=True, help_text="Of each time that the expression begins it.")
    zone = models.CharField(max_length=60, default="UTC")
    exempt_roles = ArrayField(models.CharField(max_length=10, choices=Role.choices), default=list, blank=True)
    exempt_groups = ArrayField(models.CharField(max_length=150), default=list, blank=True)
    created_by = models.CharField(max_length=254, blank=True)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(environment__isnull=True) | Q(project__isnull=False), name="freeze_scope_nested"
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=F("since")), name="freeze_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(cron="", duration__isnull=True) | (~Q(cron="") & Q(duration__isnull=False)),
                name="freeze_recurs_with_a_duration",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_place(self) -> Place:
        return Place(
            self.organization_id,
            self.project.key if self.project else "",
            self.environment.key if self.environment else "",
        )
