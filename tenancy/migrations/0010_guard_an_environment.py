"""Let an environment say that a policy or a freeze may refuse a change of it."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tenancy", "0009_choose_exposures")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="environment",
            name="is_guarded",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="Whether a policy or a freeze may refuse a change here; the gate looks no further where none may.",
            ),
        ),
    ]
