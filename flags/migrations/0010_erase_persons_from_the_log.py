"""Let an erasure, and nothing else, change the document of a step of the version log."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION flags_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Set for one transaction by flags.privacy.
    IF current_setting('flagship.erase', true) = 'allowed' AND
       to_jsonb(NEW) - 'document' = to_jsonb(OLD) - 'document' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The version log is append-only.' USING ERRCODE = 'insufficient_privilege';
END $$;
"""
BACKWARD = """
CREATE OR REPLACE FUNCTION flags_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The version log is append-only.' USING ERRCODE = 'insufficient_privilege';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("flags", "0009_bucket_by_several_names")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
