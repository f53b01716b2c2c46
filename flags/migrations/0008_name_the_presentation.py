"""Call a step's name, description and tags its presentation, in Python alone: the column keeps its name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("flags", "0007_holdouts_are_slots")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("change", "about", "presentation"),
                migrations.AlterField(
                    "change",
                    "presentation",
                    models.JSONField(
                        db_column="about",
                        default=dict,
                        help_text="What evaluators need not know: name, description, tags.",
                    ),
                ),
            ]
        )
    ]
