"""Users, organizations with their projects and environments, memberships with roles, credentials."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from openflagship.ids import uuid7

from audit.places import Place
from tenancy.roles import Role

slug_syntax = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z",
    "Use lower-case letters, digits and hyphens, at most 63, beginning and ending with a letter or digit.",
)


class User(AbstractUser):
    """A person, who can sign in to the console, or a service account, which cannot. Both have memberships."""

    service_of = models.ForeignKey(
        "Organization",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        related_name="service_accounts",
        help_text="Set for a service account: the organization it belongs to.",
    )
    sso_subject = models.CharField(
        max_length=500,
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text="Set for whom single sign-on brought: the provider's address and its name for the person.",
    )

    @property
    def is_service(self) -> bool:
        return self.service_of_id is not None


class ServiceAccount(User):
    """The users that are service accounts, as a model of their own for the console's list."""

    class Meta:
        proxy = True
        ordering = ["username"]

    def __str__(self) -> str:
        return self.username


class Organization(models.Model):
    """A tenant: nothing in it is ever visible from another."""

    slug = models.CharField(max_length=63, unique=True, validators=[slug_syntax])
    name = models.CharField(max_length=200)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_place(self) -> Place:
        return Place(self.pk)


def _days_field(least: int, most: int) -> models.PositiveSmallIntegerField:
    limits = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveSmallIntegerField(null=True, blank=True, validators=limits)


class Project(models.Model):
    """One product or code base: its flags have the same keys and variants in each of its environments."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="projects")
    key = models.CharField(max_length=63, validators=[slug_syntax])
    name = models.CharField(max_length=200)
    # When a flag of the project is in which stage of its life, in days; empty: the default.
    flag_new_days = _days_field(1, 365)
    flag_unchanged_days = _days_field(1, 3650)
    flag_unused_days = _days_field(7, 3650)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization", "key"]
        constraints = [models.UniqueConstraint(fields=["organization", "key"], name="project_key_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def audit_place(self) -> Place:
        return Place(self.organization_id, self.key)


class Exposures(models.TextChoices):
    """Which evaluations are logged as exposures."""

    ALL = "all", "Every evaluation of a user"
    EXPERIMENTS = "experiments", "Only those that a running experiment answers"


class Environment(models.Model):
    """Where flags are served: production, staging; each with a configuration and a version counter of its own."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="environments")
    key = models.CharField(max_length=63, validators=[slug_syntax])
    name = models.CharField(max_length=200)
    is_production = models.BooleanField(default=False)
    salt = models.CharField(
        max_length=64,
        blank=True,
        help_text="With a salt, users are assigned differently here than in other environments. Fixed at creation.",
    )
    stores_pseudonyms = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Events name users by keyed hashes alone, for good. The policy of events has the key.",
    )
    exposures = models.CharField(
        max_length=12,
        choices=Exposures.choices,
        default=Exposures.ALL,
        db_default=Exposures.ALL,
        help_text="What is logged of flags that have no choice of their own.",
    )
    is_guarded = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether a policy or a freeze may refuse a change here; the gate looks no further where none may.",
    )
    config_version = models.BigIntegerField(
        default=0, editable=False, help_text="Grows by one with each change; the version log holds each step."
    )
    version = models.BigIntegerField(default=1, editable=False, help_text="Of the environment's own fields.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["project", "-is_production", "key"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="environment_key_once")]

    def __str__(self) -> str:
        return f"{self.project} · {self.name}"

    @property
    def audit_place(self) -> Place:
        return Place(self.project.organization_id, self.project.key, self.key)


class Membership(models.Model):
    """A user's role on an organization, or narrower: on one project, or on one environment."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    role = models.CharField(max_length=10, choices=Role.choices)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "member"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "project", "environment"],
                name="membership_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(environment__isnull=True) | Q(project__isnull=False), name="membership_scope_nested"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.environment or self.project or self.organization}"

    @property
    def audit_place(self) -> Place:
        return Place(
            self.organization_id,
            self.project.key if self.project else "",
            self.environment.key if self.environment else "",
        )


class Credential(models.Model):
    """A key or token, stored as its SHA-256: the secret has 256 bits of its own, so a slow hash would add nothing."""

    class Kind(models.TextChoices):
        SERVER = "server", "Server key"
        CLIENT = "client", "Client key"
        MANAGE = "manage", "Management token"
        EDGE = "edge", "Edge credential"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=200)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="credentials")
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, null=True, blank=True, related_name="credentials"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="credentials")
    environments = models.ManyToManyField(
        Environment,
        blank=True,
        related_name="edge_credentials",
        help_text="Of an edge credential alone: the environments that the edge serves.",
    )
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    secret_hash = models.BinaryField(max_length=32, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "key or token"
        verbose_name_plural = "keys and tokens"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(kind="manage", environment__isnull=True, user__isnull=False)
                    | Q(kind__in=["server", "client"], environment__isnull=False, user__isnull=True)
                    | Q(kind="edge", environment__isnull=True, user__isnull=True)
                ),
                name="credential_belongs_to_environments_or_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def audit_place(self) -> Place:
        return self.environment.audit_place if self.environment else Place(self.organization_id)


class SavedView(models.Model):
    """A list's filters under a name: its owner's, or the whole organization's where it is shared."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=100, help_text="The list it belongs to, as app_model.")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True, help_text="The filters as they stand in the address.")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organization", "page", "name"], name="saved_view_once"),
        ]

    def __str__(self) -> str:
        return self.name


class KeyringRevision(models.Model):
    """One row, counted up with each change of a credential: one number tells a process whether its keys are current."""

    value = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="keyring_revision_single_row")]

    def __str__(self) -> str:
        return str(self.value)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)


class IdempotentRequest(models.Model):
    """A POST that was answered under an `Idempotency-Key`; written in the transaction of what it did."""

    scope = models.CharField(max_length=80, help_text="Who sent it: a key is its sender's own.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the route and the body.")
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.key}"


class PrivacyJob(models.Model):
    """What is stored of a person, to be erased or exported. The id stands here only until the job has ended."""

    class Act(models.TextChoices):
        ERASE = "erase"
        EXPORT = "export"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="privacy_jobs")
    act = models.CharField(max_length=10, choices=Act.choices)
    kind = models.CharField(max_length=100)
    person_id = models.CharField(max_length=1024, blank=True, editable=False)
    trace = models.CharField(max_length=64, help_text="A keyed hash of the id.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    report = models.JSONField(default=list, help_text="Place by place: how much, and why something remains.")
    file = models.BinaryField(null=True, editable=False, help_text="JSON lines, compressed; kept for seven days.")
    file_bytes = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    requested_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "privacy job"

    def __str__(self) -> str:
        return f"{self.act} {self.trace[:12]}…"

    @property
    def has_file(self) -> bool:
        return self.file_bytes > 0
