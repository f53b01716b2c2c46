"""Tables and statements of the ClickHouse store. Instants are Unix milliseconds, so no time zone is involved."""

# Of rows with the same key, ClickHouse keeps the one with the highest precedence: the first that came. Duplicates meet
# only within a partition, so the partition follows from the id, as on PostgreSQL. The id begins with its time and leads
# the key. So parts that are written one after the other hardly overlap, and a read has next to nothing to merge.
_ENGINE = """
ENGINE = {engine}(precedence) PARTITION BY month ORDER BY (environment_id, bitShiftRight(toUInt128({key}), 80), {key})
TTL toDateTime(intDiv(occurred_ms, 1000)) + INTERVAL {days} DAY
"""
_EXPOSURES = """
CREATE TABLE IF NOT EXISTS exposures (
    month Date, precedence UInt64, evaluation_id UUID, environment_id Int64, flag_key LowCardinality(String),
    unit_id String, variant LowCardinality(String), reason LowCardinality(String), rule_id Nullable(String),
    experiment LowCardinality(Nullable(String)), config_version Int64, occurred_ms Int64, received_ms Int64,
    source LowCardinality(String), user_agent Nullable(String), attributes Nullable(String),
    is_prefetched Bool DEFAULT false, is_bot Bool
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
    *("attributes", "is_prefetched", "is_bot"),
]
CONVERSION_COLUMNS = [
    *("month", "precedence", "event_id", "environment_id", "unit_id", "event_name", "value", "occurred_ms"),
    *("received_ms", "properties", "is_bot"),
]


def create_tables(*, engine: str, days: int) -> list[str]:
    return [
        _EXPOSURES + _ENGINE.format(engine=engine, key="evaluation_id", days=days),
        # For tables of earlier releases.
        "ALTER TABLE exposures ADD COLUMN IF NOT EXISTS is_prefetched Bool DEFAULT false AFTER attributes",
        _CONVERSIONS + _ENGINE.format(engine=engine, key="event_id", days=days),
    ]


_SEEN = """
FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND experiment = {experiment:String}
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
"""
# One pass over numbers groups ten million exposures by unit. A number holds the time and, in its last 16 bits, the
# place of the variant in the experiment's sorted variants. So the least number is the first exposure; of equal times,
# the variant that sorts first wins. The smallest of tuples and sets of texts give the same, and take five times as
# long.
VARIANTS = """
(SELECT arraySort(groupUniqArray(toString(variant))) FROM exposures
 WHERE environment_id = {environment_id:Int64} AND experiment = {experiment:String}) AS variants
"""
_NEVER = 2**63 - 1
SEEN_CODES = f"""
SELECT unit_id, if(is_bot, {_NEVER}, occurred_ms * 65536 + indexOf(variants, variant)) AS code,
       if(is_bot, 65535, indexOf(variants, variant)) AS low, if(is_bot, 0, indexOf(variants, variant)) AS high
{_SEEN}
"""
FIRST_MS = "intDiv(code, 65536)"
FIRST_VARIANT = "variants[bitAnd(code, 65535)]"
# The code of a unit of which only bots' exposures are known.
IS_BOT = f"code = {_NEVER}"
# A unit that was first exposed during a pause is not enrolled, nor is one that is left out. Bots are counted all the
# same.
_ENROLLED = (
    f"NOT arrayExists(pause -> {FIRST_MS} >= pause.1 AND {FIRST_MS} < pause.2, {{pauses:Array(Tuple(Int64, Int64))}})"
    " AND NOT has({left_out:Array(String)}, unit_id)"
)
_CODES = (
    f"SELECT unit_id, min(code) AS code, min(low) <> max(high) AS is_crossover FROM ({SEEN_CODES}) GROUP BY unit_id"  # noqa: S608 - fixed text
)
UNITS = f"""
WITH {VARIANTS} SELECT unit_id, {FIRST_VARIANT} AS first_variant, {FIRST_MS} AS first_ms, is_crossover
FROM ({_CODES}) WHERE NOT ({IS_BOT}) AND {_ENROLLED} ORDER BY unit_id
"""  # noqa: S608 - fixed text
SUMMARY = f"""
WITH {VARIANTS}
SELECT is_bot, day, if(is_bot, '', variants[place]) AS first_variant, is_crossover, units FROM (
    SELECT {IS_BOT} AS is_bot, if(is_bot, 0, intDiv({FIRST_MS}, 86400000)) AS day,
           if(is_bot, 0, bitAnd(code, 65535)) AS place, is_crossover, count() AS units
    FROM ({_CODES}) WHERE {IS_BOT} OR ({_ENROLLED}) GROUP BY is_bot, day, place, is_crossover
) ORDER BY is_bot, day, first_variant
"""  # noqa: S608 - fixed text


PREFETCHED = f"SELECT count() {_SEEN} AND is_prefetched AND NOT is_bot"
_EXPOSED_AGAIN = f"""
UNION ALL
SELECT unit_id, {_NEVER} AS code, 65535 AS low, 0 AS high, defaultValueOfTypeName('{{kind}}') AS event,
       false AS is_event, occurred_ms AS again
FROM exposures FINAL
WHERE environment_id = {{{{environment_id:Int64}}}} AND experiment = {{{{experiment:String}}}}
  AND occurred_ms >= {{{{next_phase:Int64}}}} AND NOT is_bot
"""  # noqa: S608 - fixed text


def figures(
    *, event: str, kind: str, names: str, since: str, columns: str, sums: str, by: str = "", is_followed: bool = False
) -> str:
    """Return a statement that groups exposures and events by unit in one pass, and sums figures by variant.

    `event` is a tuple of type `kind`; `names` says which events count, from `since` on. `columns` are computed for each
    unit from the array `done` of those tuples, beside `first_ms`; `sums` add them up.

    `is_followed`: another phase follows, and `again_ms` is when a unit was exposed in it.

    `by` is a SELECT of units and their JSON texts. With it the sums are made for each text too, and for the empty text.
    The text is then the first column.
    """
    return f"""
    WITH {VARIANTS}
    SELECT {"text, " if by else ""}variants[place] AS variant, count(), {sums}
    FROM (
        SELECT {"text, " if by else ""}bitAnd(code, 65535) AS place, {FIRST_MS} AS first_ms, {columns}
        FROM (
            SELECT unit_id, min(code) AS code, min(low) <> max(high) AS is_crossover,
                   groupArrayIf(event, is_event) AS done, min(again) AS again_ms
            FROM (
                SELECT unit_id, code, low, high, defaultValueOfTypeName('{kind}') AS event, false AS is_event,
                       toInt64({_NEVER}) AS again
                FROM ({SEEN_CODES})
                {_EXPOSED_AGAIN.format(kind=kind) if is_followed else ""}
                UNION ALL
                SELECT unit_id, {_NEVER} AS code, 65535 AS low, 0 AS high, CAST({event}, '{kind}') AS event,
                       true AS is_event, toInt64({_NEVER}) AS again
                FROM conversions FINAL
                WHERE environment_id = {{environment_id:Int64}} AND {names} AND NOT is_bot AND occurred_ms >= {since}
            ) GROUP BY unit_id HAVING NOT ({IS_BOT}) AND NOT is_crossover AND {_ENROLLED}
        ) AS units {f"LEFT JOIN ({by}) AS carried USING (unit_id)" if by else ""}
    ) GROUP BY {"text, " if by else ""}place ORDER BY {"text, " if by else ""}variant
    """  # noqa: S608 - fixed text put together from fixed parts


IN_TIME = "occurred_ms < {deadline:Int64} AND received_ms < {deadline:Int64}"
# Figures are whole millionths, as on PostgreSQL. Values fit 64 bits; squares of their totals need 256.
MICROS = "toInt64(round(ifNull({value}, 0) * 1000000))"
# `users` is uniqExact, or a sketch that ClickHouse fills while it reads.
FLAG = """
SELECT variant, count(), {users}(unit_id) FROM exposures FINAL
WHERE environment_id = {{environment_id:Int64}} AND flag_key = {{flag_key:String}} AND NOT is_bot
  AND occurred_ms >= {{since:Int64}} AND occurred_ms < {{until:Int64}}
GROUP BY variant ORDER BY variant
"""
# Exposures are counted by the hour, as on PostgreSQL. Within an hour, the variant that sorts first counts as the last
# one seen.
RECENT = """
SELECT unit_id, argMin(variant, (-hour, variant)) FROM (
    SELECT unit_id, variant, intDiv(max(occurred_ms), 3600000) AS hour FROM exposures FINAL
    WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
      AND occurred_ms >= {since:Int64}
    GROUP BY unit_id, variant
) GROUP BY unit_id ORDER BY max(hour) DESC, unit_id LIMIT {limit:Int64}
"""
LAST = """
SELECT flag_key, last_ms, environment_id FROM (
    SELECT flag_key, environment_id, intDiv(max(occurred_ms), 3600000) * 3600000 AS last_ms FROM exposures
    WHERE environment_id IN {environment_ids:Array(Int64)} AND flag_key IN {flag_keys:Array(String)}
    GROUP BY flag_key, environment_id
) ORDER BY flag_key, last_ms DESC, indexOf({environment_ids:Array(Int64)}, environment_id) LIMIT 1 BY flag_key
"""
FAST = """
SELECT environment_id, unit_id, max(exposures) FROM (
    SELECT environment_id, unit_id, count() AS exposures FROM exposures FINAL
    WHERE received_ms >= {since:Int64} AND NOT is_bot
    GROUP BY environment_id, unit_id, intDiv(occurred_ms, 3600000) HAVING exposures > {limit:Int64}
) GROUP BY environment_id, unit_id ORDER BY environment_id, unit_id
"""
# A number of that name, within the largest value that the stores take.
PROPERTY = """if(
    JSONType(ifNull(properties, ''), {name}) IN ('Int64', 'UInt64', 'Double')
    AND abs(JSONExtractFloat(ifNull(properties, ''), {name})) <= 9e12,
    JSONExtractFloat(ifNull(properties, ''), {name}), NULL)"""
# The order of PostgreSQL's UUIDs, so that floats add up in the same order. ClickHouse sorts by a UUID's second half
# first.
EVENTS = f"""
SELECT unit_id, occurred_ms, received_ms, if({{name:String}} = '', value, {PROPERTY.format(name="{name:String}")})
FROM conversions FINAL
WHERE environment_id = {{environment_id:Int64}} AND event_name = {{event_name:String}} AND NOT is_bot
  AND occurred_ms >= {{since:Int64}} AND occurred_ms < {{until:Int64}}
ORDER BY toString(event_id)
"""  # noqa: S608 - fixed text
EVENT_COUNT = """
SELECT count() FROM conversions FINAL
WHERE environment_id = {environment_id:Int64} AND event_name = {event_name:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64}
"""
# The whole key is compared. Its first part tells ClickHouse where to look.
BY_ID = """
SELECT event_id, value, occurred_ms, properties FROM conversions FINAL
WHERE environment_id = {environment_id:Int64} AND event_id IN {ids:Array(UUID)}
  AND bitShiftRight(toUInt128(event_id), 80) IN
      (SELECT bitShiftRight(toUInt128(arrayJoin({ids:Array(UUID)})), 80))
"""
LAST_CONVERSIONS = """
SELECT event_name, intDiv(max(occurred_ms), 86400000) FROM conversions
WHERE environment_id = {environment_id:Int64} AND event_name IN {event_names:Array(String)} GROUP BY event_name
"""
FIRST_SEEN = """
SELECT unit_id, min(occurred_ms) FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
GROUP BY unit_id ORDER BY unit_id
"""
ARMS = """
SELECT unit_id, min(variant), min(occurred_ms) FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
  AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
  AND if({rule_id:String} = '', reason IN ('ROLLOUT', 'DEFAULT'), ifNull(rule_id, '') = {rule_id:String})
GROUP BY unit_id HAVING uniqExact(variant) = 1 ORDER BY unit_id
"""
# Both in one pass by unit.
CONVERTED = """
SELECT count(), countIf(arrayExists(at -> at >= first_ms AND at < first_ms + {window:Int64}, done)) FROM (
    SELECT unit_id, minIf(at, NOT is_event) AS first_ms, groupArrayIf(at, is_event) AS done FROM (
        SELECT unit_id, occurred_ms AS at, false AS is_event FROM exposures FINAL
        WHERE environment_id = {environment_id:Int64} AND flag_key = {flag_key:String} AND NOT is_bot
          AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
        UNION ALL
        SELECT unit_id, occurred_ms AS at, true AS is_event FROM conversions FINAL
        WHERE environment_id = {environment_id:Int64} AND event_name = {event_name:String} AND NOT is_bot
          AND occurred_ms >= {since:Int64} AND occurred_ms < {until:Int64}
    ) GROUP BY unit_id HAVING countIf(NOT is_event) > 0
)
"""
VARIANTS_SEEN = """
SELECT flag_key, variant, count() FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND occurred_ms >= {since:Int64} AND NOT is_bot
GROUP BY flag_key, variant ORDER BY flag_key, variant
"""
ATTRIBUTE = f"""
SELECT unit_id, argMin(raw, (occurred_ms, toString(evaluation_id))) AS text FROM (
    SELECT unit_id, occurred_ms, evaluation_id, JSONExtractRaw(assumeNotNull(attributes), {{name:String}}) AS raw,
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
LATEST_CARRIED = """
SELECT unit_id, assumeNotNull(attributes) FROM exposures FINAL
WHERE environment_id = {environment_id:Int64} AND occurred_ms >= {since:Int64} AND attributes IS NOT NULL
ORDER BY toString(evaluation_id) DESC LIMIT {limit:Int64}
"""
BOTS_FIRST_SEEN = f"""
SELECT first_variant, count() FROM (
    SELECT argMin(variant, (occurred_ms, variant)) AS first_variant, min(occurred_ms) AS first_ms
    {_SEEN} GROUP BY unit_id HAVING min(is_bot)
)
WHERE NOT arrayExists(pause -> first_ms >= pause.1 AND first_ms < pause.2, {{pauses:Array(Tuple(Int64, Int64))}})
GROUP BY first_variant ORDER BY first_variant
"""  # noqa: S608 - fixed text
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
IN_RECEIVED = "received_ms >= {received_since:Int64} AND received_ms < {received_until:Int64}"
_RECEIVED_HOURS = """
SELECT environment_id, intDiv(occurred_ms, 3600000) AS hour, count() FROM {table} FINAL
WHERE {within} GROUP BY environment_id, hour ORDER BY environment_id, hour
"""
RECEIVED_HOURS = {
    table: _RECEIVED_HOURS.format(table=table, within=IN_RECEIVED) for table in ("exposures", "conversions")
}
# The columns without those that only ClickHouse stores: the partition and the precedence.
RAW = {
    table: _RAW.format(table=table, columns=", ".join(columns[2:]))
    for table, columns in (("exposures", EXPOSURE_COLUMNS), ("conversions", CONVERSION_COLUMNS))
}
