"""Give conversions whose ids are made of a sender's own text a partition of their own.

They grew in the default partition, which PostgreSQL reads through under an exclusive lock whenever a week is attached.
"""

from django.db import migrations

_FROM = "ff000000-0000-0000-0000-000000000000"
_APART = f"""
SET LOCAL lock_timeout = '10s';
CREATE TABLE conversions_chosen (LIKE conversions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)
    WITH (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
SET LOCAL flagship.rewrite = 'allowed';
WITH moved AS (DELETE FROM conversions_default WHERE event_id >= '{_FROM}' RETURNING *)
INSERT INTO conversions_chosen SELECT * FROM moved;
SET LOCAL flagship.rewrite = '';
ALTER TABLE conversions ATTACH PARTITION conversions_chosen FOR VALUES FROM ('{_FROM}') TO (MAXVALUE);
SET LOCAL lock_timeout = 0;
"""
_TOGETHER = """
ALTER TABLE conversions DETACH PARTITION conversions_chosen;
INSERT INTO conversions SELECT * FROM conversions_chosen;
DROP TABLE conversions_chosen;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0021_analyze_by_rows")]
    operations = [migrations.RunSQL(_APART, _TOGETHER)]
