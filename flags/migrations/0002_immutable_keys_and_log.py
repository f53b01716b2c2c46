"""A flag's key and type never change, and a step of the version log, once taken, is never rewritten."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION flags_refuse_new_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The key, type and project of a flag never change.' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER flags_immutable_key BEFORE UPDATE ON flags_flag FOR EACH ROW
    WHEN (OLD.key IS DISTINCT FROM NEW.key OR OLD.type IS DISTINCT FROM NEW.type
          OR OLD.project_id IS DISTINCT FROM NEW.project_id)
    EXECUTE FUNCTION flags_refuse_new_key();
CREATE FUNCTION flags_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The version log is append-only.' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER flags_change_append_only BEFORE UPDATE ON flags_change
    FOR EACH ROW EXECUTE FUNCTION flags_refuse_rewrite();
"""
BACKWARD = """
DROP TRIGGER flags_change_append_only ON flags_change;
DROP FUNCTION flags_refuse_rewrite();
DROP TRIGGER flags_immutable_key ON flags_flag;
DROP FUNCTION flags_refuse_new_key();
"""


class Migration(migrations.Migration):
    dependencies = [("flags", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
