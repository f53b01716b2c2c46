"""Tables and statements of the ClickHouse store; instants are Unix milliseconds, so that no time zone is involved."""

# Of rows with the same key the one with the highest precedence stays: the first that came. Duplicates meet only within
# a partition, so the partition is worked out from the id, as on PostgreSQL.
_ENGINE = """
ENGINE = {engine}(precedence) PARTITION BY month ORDER BY (environment_id, {key})
TTL toDateTime(intDiv(occurred_ms, 1000)) + INTERVAL {days} DAY
"""
_EXPOSURES = """
CREATE TABLE IF NOT EXISTS exposures (
    month Date, precedence UInt64, evaluation_id UUID, environment_id Int64, flag_key LowCardinality(String),
    unit_id String, variant LowCardinality(String), reason LowCardinality(String), rule_id Nullable(String),
    experiment LowCardinality(Nullable(String)), config_version Int64, occurred_ms Int64, received_ms Int64,
    source LowCardinality(String), user_agent Nullable(String), attributes Nullable(String), is_bot Bool
)
"""
_CONVERSIONS = """
CREATE TABLE IF NOT EXISTS conversions (
    month Date, precedence UInt64, event_id UUID, environment_id Int64, unit_id String,
    event_name LowCardinality(String), value Nullable(Float64), occurred_ms Int64, received_ms Int64,
    properties Nullable(String), is_bot Bool
)
"""
EXPOSURE_COLUMNS = [
    *("month", "precedence", "evaluation_id", "environment_id", "flag_key", "unit_id", "variant", "reason"),
    *("rule_id", "experiment", "config_version", "occurred_ms", "received_ms", "source", "user_agent"),
    *("attributes", "is_bot"),
]
CONVERSION_COLUMNS = [
    *("month", "precedence", "event_id", "environment_id", "unit_id", "event_name", "value", "occurred_ms"),
    *("received_ms", "properties", "is_bot"),
]


def create_tables(*, engine: str, days: int) -> list[str]:
    return [
        _EXPOSURES + _ENGINE.format(engine=engine, key="evaluation_id", days=days),
        _CONVERSIONS + _ENGINE.format(engine=engine, key="event_id", days=days),
    ]


_SEEN = """
FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND experiment = {experiment:String}
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
"""
UNITS = f"""
SELECT unit_id, argMin(variant, (occurred_ms, variant)) AS first_variant, min(occurred_ms) AS first_ms,
       uniqExact(variant) > 1 AS is_crossover
{_SEEN} AND NOT is_bot GROUP BY unit_id
"""
BOTS = f"SELECT count() FROM (SELECT unit_id {_SEEN} GROUP BY unit_id HAVING min(is_bot))"  # noqa: S608 - fixed text
SUMMARY = f"""
SELECT toDate(fromUnixTimestamp64Milli(first_ms, 'UTC')) AS day, first_variant, is_crossover, count()
FROM ({UNITS}) GROUP BY day, first_variant, is_crossover ORDER BY day, first_variant
"""  # noqa: S608 - fixed text
USERS = f"""
SELECT first_variant, count() FROM ({UNITS}) WHERE NOT is_crossover GROUP BY first_variant ORDER BY first_variant
"""  # noqa: S608 - fixed text
# Whole millionths, as on PostgreSQL: squares of totals need 256 bits.
TOTALS = f"""
SELECT variant, countIf(events > 0), sum(total), sum(total * total), sum(events), sum(events * events), sum(late)
FROM (
    SELECT units.first_variant AS variant, countIf(is_in_time) AS events, countIf(NOT is_in_time) AS late,
           ifNull(sumIf(micros, is_in_time), toInt256(0)) AS total
    FROM (
        SELECT unit_id, occurred_ms, toInt256(round(value * 1000000)) AS micros,
               occurred_ms < {{deadline:Int64}} AND received_ms < {{deadline:Int64}} AS is_in_time
        FROM conversions FINAL
        WHERE environment_id = {{environment_id:Int64}} AND event_name = {{event_name:String}} AND NOT is_bot
          AND occurred_ms >= {{since:Int64}}
    ) AS event INNER JOIN ({UNITS}) AS units ON event.unit_id = units.unit_id
    WHERE NOT units.is_crossover AND event.occurred_ms >= units.first_ms
      AND event.occurred_ms < units.first_ms + {{window:Int64}}
    GROUP BY units.unit_id, units.first_variant
) GROUP BY variant
"""  # noqa: S608 - fixed text
FLAG = """
SELECT variant, count(), uniqExact(unit_id) FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
GROUP BY variant ORDER BY variant
"""
# By the hour, as PostgreSQL keeps it: within an hour the variant that sorts first is taken for the last one seen.
RECENT = """
SELECT unit_id, argMin(variant, (-hour, variant)) FROM (
    SELECT unit_id, variant, intDiv(max(occurred_ms), 3600000) AS hour FROM exposures FINAL
    WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
      AND occurred_ms >= {since:Int64}
    GROUP BY unit_id, variant
) GROUP BY unit_id ORDER BY max(hour) DESC, unit_id LIMIT {limit:Int64}
"""
LAST = """
SELECT flag_key, intDiv(max(occurred_ms), 3600000) * 3600000 FROM exposures
WHERE environment_id = {environment_id:Int64} AND flag_key IN {flag_keys:Array(String)} GROUP BY flag_key
"""
FAST = """
SELECT environment_id, unit_id, max(exposures) FROM (
    SELECT environment_id, unit_id, count() AS exposures FROM exposures FINAL
    WHERE received_ms >= {since:Int64} AND NOT is_bot
    GROUP BY environment_id, unit_id, intDiv(occurred_ms, 3600000) HAVING exposures > {limit:Int64}
) GROUP BY environment_id, unit_id ORDER BY environment_id, unit_id
"""
# A number of that name, as large as a value may be.
PROPERTY = """if(
    JSONType(ifNull(properties, ''), {name}) IN ('Int64', 'UInt64', 'Double')
    AND abs(JSONExtractFloat(ifNull(properties, ''), {name})) <= 9e12,
    JSONExtractFloat(ifNull(properties, ''), {name}), NULL)"""
# In the order of PostgreSQL's UUIDs, which ClickHouse itself sorts by their second half first: floats add up alike.
EVENTS = f"""
SELECT unit_id, occurred_ms, received_ms, if({{name:String}} = '', value, {PROPERTY.format(name="{name:String}")})
FROM conversions FINAL
WHERE environment_id = {{environment_id:Int64}} AND event_name = {{event_name:String}} AND NOT is_bot
  AND occurred_ms >= {{since:Int64}} AND occurred_ms < {{until:Int64}}
ORDER BY toString(event_id)
"""  # noqa: S608 - fixed text
EVENT_COUNTS = """
SELECT count(), uniqExact(unit_id) FROM conversions FINAL
WHERE environment_id = {environment_id:Int64} AND event_name = {event_name:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64}
"""
FIRST_SEEN = """
SELECT unit_id, min(occurred_ms) FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
GROUP BY unit_id ORDER BY unit_id
"""
ATTRIBUTE = f"""
SELECT unit_id, argMin(text, (occurred_ms, toString(evaluation_id))) FROM (
    SELECT unit_id, occurred_ms, evaluation_id, JSONExtractRaw(assumeNotNull(attributes), {{name:String}}) AS text,
           JSONType(assumeNotNull(attributes), {{name:String}}) AS type
    {_SEEN} AND NOT is_bot AND attributes IS NOT NULL
) WHERE type IN ('String', 'Int64', 'UInt64', 'Double', 'Bool') GROUP BY unit_id ORDER BY unit_id
"""  # noqa: S608 - fixed text
CARRIED = """
SELECT unit_id, argMax(assumeNotNull(attributes), (occurred_ms, toString(evaluation_id))) FROM (
    SELECT evaluation_id, environment_id, flag_key, unit_id, occurred_ms, is_bot, attributes FROM exposures FINAL
    ORDER BY toString(evaluation_id) DESC LIMIT {most:Int64}
)
WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND occurred_ms >= {since:Int64}
  AND NOT is_bot AND attributes IS NOT NULL
GROUP BY unit_id
"""
BOTS_FIRST_SEEN = f"""
SELECT argMin(variant, (occurred_ms, variant)), min(occurred_ms) {_SEEN} GROUP BY unit_id HAVING min(is_bot)
"""
LAST_RECEIVED = f"""
SELECT greatest(
    (SELECT max(received_ms) {_SEEN} AND received_ms < {{deadline:Int64}}),
    (SELECT max(received_ms) FROM conversions FINAL
     WHERE environment_id = {{environment_id:Int64}} AND event_name IN {{event_names:Array(String)}}
       AND occurred_ms >= {{since:Int64}} AND received_ms < {{deadline:Int64}})
)
"""  # noqa: S608 - fixed text
IS_WANTED = "has(arrayZip({environment_ids:Array(Int64)}, {unit_ids:Array(String)}), (environment_id, unit_id))"
_RAW = """
SELECT {columns} FROM {table} FINAL
WHERE environment_id = {{environment_id:Int64}} AND occurred_ms >= {{since:Int64}} AND occurred_ms < {{until:Int64}}
"""
# Without what only ClickHouse keeps: the partition and the precedence.
RAW = {
    table: _RAW.format(table=table, columns=", ".join(columns[2:]))
    for table, columns in (("exposures", EXPOSURE_COLUMNS), ("conversions", CONVERSION_COLUMNS))
}
