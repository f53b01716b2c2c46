"""Values are summed in whole millionths as 64-bit integers; what would not fit is refused, not summed up wrongly."""

from django.db import migrations

FORWARD = """
ALTER TABLE conversions ADD CONSTRAINT conversions_value_is_summable
    CHECK (value IS NULL OR value BETWEEN -9e12 AND 9e12)
"""
BACKWARD = "ALTER TABLE conversions DROP CONSTRAINT conversions_value_is_summable"


class Migration(migrations.Migration):
    safe_because = {"RunSQL 1": "Ran before the first release, when the event tables were empty."}
    dependencies = [("analytics", "0003_policies_and_bots")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
