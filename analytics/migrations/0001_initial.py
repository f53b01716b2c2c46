"""Raw events in partitioned, append-only tables, and the dead letters."""

from django.db import migrations, models

TABLES = """
CREATE TABLE exposures (
    evaluation_id uuid NOT NULL,
    environment_id bigint NOT NULL,
    flag_key text NOT NULL,
    unit_id text NOT NULL,
    variant text NOT NULL,
    reason text NOT NULL,
    rule_id text NULL,
    experiment text NULL,
    config_version bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    source text NOT NULL,
    user_agent text NULL,
    is_bot boolean NOT NULL DEFAULT false,
    attributes jsonb NULL,
    PRIMARY KEY (evaluation_id, environment_id)
) PARTITION BY RANGE (evaluation_id);
CREATE TABLE exposures_default PARTITION OF exposures DEFAULT;
CREATE INDEX exposures_by_experiment ON exposures (environment_id, experiment, occurred_at) WHERE experiment IS NOT NULL;

CREATE TABLE conversions (
    event_id uuid NOT NULL,
    environment_id bigint NOT NULL,
    unit_id text NOT NULL,
    event_name text NOT NULL,
    value double precision NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    is_bot boolean NOT NULL DEFAULT false,
    properties jsonb NULL,
    PRIMARY KEY (event_id, environment_id)
) PARTITION BY RANGE (event_id);
CREATE TABLE conversions_default PARTITION OF conversions DEFAULT;
CREATE INDEX conversions_by_unit ON conversions (environment_id, event_name, unit_id, occurred_at);

-- Retention, erasure and reclassification say so first: SET LOCAL flagship.rewrite = 'allowed'.
CREATE FUNCTION analytics_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('flagship.rewrite', true) = 'allowed' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION 'Events are append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER exposures_append_only BEFORE UPDATE OR DELETE ON exposures
    FOR EACH ROW EXECUTE FUNCTION analytics_refuse_rewrite();
CREATE TRIGGER conversions_append_only BEFORE UPDATE OR DELETE ON conversions
    FOR EACH ROW EXECUTE FUNCTION analytics_refuse_rewrite();
"""
NO_TABLES = """
DROP TABLE conversions;
DROP TABLE exposures;
DROP FUNCTION analytics_refuse_rewrite();
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(TABLES, NO_TABLES)],
            state_operations=[
                migrations.CreateModel(
                    name="Exposure",
                    fields=[
                        ("pk", models.CompositePrimaryKey("evaluation_id", "environment_id", blank=True, editable=False, primary_key=True, serialize=False)),
                        ("evaluation_id", models.UUIDField()),
                        ("environment_id", models.BigIntegerField()),
                        ("flag_key", models.TextField()),
                        ("unit_id", models.TextField(help_text="What was hashed: the value of the flag's bucketBy, in the API `userId`.")),
                        ("variant", models.TextField()),
                        ("reason", models.TextField()),
                        ("rule_id", models.TextField(null=True)),
                        ("experiment", models.TextField(null=True)),
                        ("config_version", models.BigIntegerField()),
                        ("occurred_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        ("source", models.TextField()),
                        ("user_agent", models.TextField(null=True)),
                        ("is_bot", models.BooleanField(default=False)),
                        ("attributes", models.JSONField(null=True)),
                    ],
                    options={"db_table": "exposures"},
                ),
                migrations.CreateModel(
                    name="Conversion",
                    fields=[
                        ("pk", models.CompositePrimaryKey("event_id", "environment_id", blank=True, editable=False, primary_key=True, serialize=False)),
                        ("event_id", models.UUIDField()),
                        ("environment_id", models.BigIntegerField()),
                        ("unit_id", models.TextField()),
                        ("event_name", models.TextField()),
                        ("value", models.FloatField(null=True)),
                        ("occurred_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        ("is_bot", models.BooleanField(default=False)),
                        ("properties", models.JSONField(null=True)),
                    ],
                    options={"db_table": "conversions"},
                ),
            ],
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("received_at", models.DateTimeField(auto_now_add=True)),
                ("environment_id", models.BigIntegerField(null=True)),
                ("kind", models.CharField(max_length=20)),
                ("reason", models.TextField()),
                ("payload", models.BinaryField(help_text="A packed batch of this one event, or the whole entry if it cannot be read.")),
            ],
            options={"db_table": "event_dead_letters", "ordering": ["id"]},
        ),
    ]
