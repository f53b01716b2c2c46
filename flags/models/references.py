"""Where code refers to flags, as the scans of repositories found it."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from flags.models.flags import Flag
from tenancy.models import Project

# Anything else could be a script that a click on a link would run.
web_address = RegexValidator(r"^https?://[^\s<>\"']+\Z", "Use an address that begins with https:// or http://.")


class ScannedBranch(models.Model):
    """One branch of a repository that was scanned for the flags of a project.

    `scanned_at` is the end of its last whole scan. It is empty where only single flags were reported.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="scanned_branches")
    repository = models.CharField(max_length=200)
    branch = models.CharField(max_length=250)
    is_default = models.BooleanField(default=False, help_text="Whether it counts however long ago its scan was.")
    link_template = models.CharField(max_length=500, blank=True, validators=[web_address])
    revision = models.CharField(max_length=100, blank=True)
    scan = models.UUIDField(null=True, help_text="The scan that was reported last, whole or in part.")
    superseded = ArrayField(
        models.UUIDField(), default=list, db_default=[], help_text="Scans before it, whose parts are refused."
    )
    scanned_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["repository", "-is_default", "branch"]
        constraints = [
            models.UniqueConstraint(fields=["project", "repository", "branch"], name="branch_scanned_once"),
            models.UniqueConstraint(
                fields=["project", "repository"], condition=Q(is_default=True), name="default_branch_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.repository}@{self.branch}"


class CodeReference(models.Model):
    """A flag's references on one scanned branch. `gone_at` is when the last one was taken out of the code."""

    branch = models.ForeignKey(ScannedBranch, on_delete=models.CASCADE, related_name="references")
    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="references")
    count = models.PositiveIntegerField()
    places = models.JSONField(default=list, help_text="[{path, line, alias?, text?}, …], the first of them.")
    scan = models.UUIDField()
    first_seen_at = models.DateTimeField(auto_now_add=True)
    gone_at = models.DateTimeField(null=True)
    gone_revision = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["branch", "flag"]
        constraints = [
            models.UniqueConstraint(fields=["branch", "flag"], name="references_once_per_branch"),
            models.CheckConstraint(condition=Q(count=0) | Q(gone_at__isnull=True), name="references_gone_or_there"),
        ]

    def __str__(self) -> str:
        return f"{self.flag} in {self.branch}: {self.count}"
