"""Edge credentials, which name environments. Those of the other kinds stay as they are."""

from typing import ClassVar

import django.db.models
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tenancy", "0007_privacy_jobs")]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="credential",
            name="kind",
            field=models.CharField(
                choices=[
                    ("server", "Server key"),
                    ("client", "Client key"),
                    ("manage", "Management token"),
                    ("edge", "Edge credential"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="environments",
            field=models.ManyToManyField(
                blank=True,
                help_text="Of an edge credential alone: the environments that the edge serves.",
                related_name="edge_credentials",
                to="tenancy.environment",
            ),
        ),
        migrations.RemoveConstraint(model_name="credential", name="credential_belongs_to_environment_or_person"),
        AddConstraintNotValid(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=django.db.models.Q(
                    models.Q(("environment__isnull", True), ("kind", "manage"), ("user__isnull", False)),
                    models.Q(
                        ("environment__isnull", False), ("kind__in", ["server", "client"]), ("user__isnull", True)
                    ),
                    models.Q(("environment__isnull", True), ("kind", "edge"), ("user__isnull", True)),
                    _connector="OR",
                ),
                name="credential_belongs_to_environments_or_person",
            ),
        ),
        ValidateConstraint(model_name="credential", name="credential_belongs_to_environments_or_person"),
    ]
