"""Flag debt of a project, day by day."""

from django.db import models

from tenancy.models import Project


class DebtDay(models.Model):
    """How many of a project's flags were in each stage on a day: the trend of the page of flag debt."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="debt_days")
    day = models.DateField()
    new = models.PositiveIntegerField(default=0)
    live = models.PositiveIntegerField(default=0)
    complete = models.PositiveIntegerField(default=0)
    ready_to_archive = models.PositiveIntegerField(default=0)
    overdue = models.PositiveIntegerField(default=0, help_text="Past their expected end, whatever their stage.")

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["project", "day"], name="debt_day_once")]

    def __str__(self) -> str:
        return f"{self.project} on {self.day}"
