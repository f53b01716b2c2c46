"""The log refuses to be rewritten, whoever asks: only somebody who drops the trigger can, and the hash chain shows it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION audit_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_rewrite();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_rewrite();
"""
BACKWARD = """
DROP TRIGGER audit_no_truncate ON audit_entry;
DROP TRIGGER audit_append_only ON audit_entry;
DROP FUNCTION audit_refuse_rewrite();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
