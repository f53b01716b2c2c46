# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Pairs of figures by an attribute that units carried, on PostgreSQL, rolled up by cohort (`valid_rollups`).

A unit may carry the attribute for the first time long after its first day. So a roll-up sorts a cohort's units by what
they carried on that day, as far as the day is aggregated. Other units carried it later, or have exposures that are not
aggregated yet and say otherwise. Each reading moves their figures to where they belong.
"""

from typing import Any

from analytics.stores.base import Period
from analytics.stores.pairs import Breakdown, Pairing, Segments, summaries_by_segment
from analytics.stores.postgres.reads import DERIVED, source_of
from analytics.stores.postgres.rollups.cohort_sizes import COUNTS, ENROLLED
from analytics.stores.postgres.rollups.pairs import (
    WHOLE_FIGURES,
    every_unit,
    figure_sums,
    pair_parameters,
    unit_figures,
)
from analytics.stores.postgres.rollups.segment_days import (
    OF_ATTRIBUTE,
    SEGMENTS,
    STALE,
    aggregate_days,
    midnights,
    stale_days,
)
from analytics.stores.postgres.rollups.valid_rollups import (
    ALL_OPEN,
    COUNTERS,
    CROSSED,
    OPEN,
    Rollup,
    days_of,
    open_stretches,
    reading,
    within_stretches,
)

_FOLDS = f"SELECT day, folds FROM segment_days WHERE {OF_ATTRIBUTE}"
_SUMS = Rollup(
    "cohort_segments",
    "sums.question = %(question)s",
    f"sums.folds = (SELECT folds FROM ({_FOLDS}) AS folded WHERE folded.day = sums.day)",
)
_KNOWN = f"(SELECT unit_id, value, carried_at FROM unit_segments WHERE {OF_ATTRIBUTE}) AS known"
# What a unit of `units` carried first on its own day; and before the end, whenever that was.
_THAT_DAY = "coalesce(CASE WHEN (known.carried_at AT TIME ZONE 'UTC')::date = units.day THEN known.value END, '')"
_BEFORE_END = """coalesce(CASE
    WHEN fresh.carried_at <= coalesce(known.carried_at, 'infinity') THEN fresh.value
    WHEN known.carried_at < %(until)s THEN known.value
END, '')"""


def whole_segment_summary(period: Period, breakdown: Breakdown) -> Segments:
    """Summarise every unit and every exposure, whatever roll-ups there are."""
    pairing = breakdown.pairing
    parameters = pair_parameters(period, pairing) | {"attribute": breakdown.attribute}
    common, units = every_unit(source_of(parameters))
    # Both are worked out once, whatever the planner believes: users that came in the last seconds are in no statistics
    # yet, and by those it would work them out again for each of them.
    statement = f"""
    {common} each AS MATERIALIZED ({unit_figures(pairing, units, "events_from")}),
    segments AS MATERIALIZED ({SEGMENTS.format(within="true")})
    SELECT segments.value, variant, {WHOLE_FIGURES} FROM (
        SELECT segments.value, units.variant, count(*) AS users, {figure_sums(pairing)}, sum(late) AS late
        FROM {units} AS units LEFT JOIN segments USING (unit_id) LEFT JOIN each USING (unit_id)
        GROUP BY segments.value, units.variant
    ) AS segments
    """
    with reading() as cursor:
        cursor.execute(statement, parameters)
        return summaries_by_segment(cursor.fetchall())


def _read(pairing: Pairing, within: str) -> str:
    """`within` says when the exposures happened that are not aggregated."""
    return f"""
    WITH valid AS MATERIALIZED ({_SUMS.valid} AND sums.day = ANY (%(valid_days)s::date[])),
    open_units AS MATERIALIZED ({OPEN}),
    crossed AS MATERIALIZED ({CROSSED}),
    fresh AS MATERIALIZED ({SEGMENTS.format(within=within)}),
    movable AS MATERIALIZED (
        SELECT units.*, {_THAT_DAY} AS that_day, {_BEFORE_END} AS before_end
        FROM (
            SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day FROM first_exposures
            WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
              AND (crossed_at IS NULL OR crossed_at >= %(until)s) AND {ENROLLED} AND {COUNTS}
              AND unit_id IN (
                  SELECT unit_id FROM unit_segments WHERE {OF_ATTRIBUTE} AND is_late
                  UNION ALL SELECT unit_id FROM fresh
              )
        ) AS units
        LEFT JOIN {_KNOWN} USING (unit_id) LEFT JOIN fresh USING (unit_id)
        WHERE units.day = ANY (%(valid_days)s::date[])
    ),
    corrections AS MATERIALIZED (
        SELECT unit_id, variant, first_at, day, sign, {_THAT_DAY} AS segment
        FROM crossed AS units LEFT JOIN {_KNOWN} USING (unit_id)
        UNION ALL
        SELECT unit_id, variant, first_at, day, sign, segment
        FROM movable CROSS JOIN LATERAL (VALUES (-1, that_day), (1, before_end)) AS sides (sign, segment)
        WHERE that_day <> before_end
    ),
    placed AS MATERIALIZED (
        SELECT unit_id, variant, sign, {_BEFORE_END} AS segment
        FROM open_units AS units LEFT JOIN {_KNOWN} USING (unit_id) LEFT JOIN fresh USING (unit_id)
        UNION ALL
        SELECT unit_id, variant, sign, segment FROM corrections
    ),
    each AS (
        {unit_figures(pairing, "open_units", "events_open_from")} UNION ALL
        {unit_figures(pairing, "corrections", "events_from")}
    ),
    parts AS (
        SELECT segment, variant, users, sum_y AS y, sum_yy AS yy, sum_x AS x, sum_xx AS xx, sum_xy AS xy,
               above_cap AS above, 0 AS late
        FROM valid
        UNION ALL
        SELECT segment, variant, sum(sign), 0, 0, 0, 0, 0, 0, 0 FROM placed GROUP BY segment, variant
        UNION ALL
        SELECT segment, placed.variant, 0, {figure_sums(pairing, "sign * ")},
               coalesce(sum(late) FILTER (WHERE sign > 0), 0)
        FROM each JOIN placed USING (unit_id, sign) GROUP BY segment, placed.variant
    )
    SELECT segment, variant, sum(users)::bigint, sum(y), sum(yy), sum(x), sum(xx), sum(xy), sum(above)::bigint,
           sum(late)::bigint,
           (SELECT count(DISTINCT day) FROM valid CROSS JOIN ({STALE}) AS now WHERE now.days = %(stale)s::date[])
    FROM parts GROUP BY segment, variant HAVING sum(users) > 0
    """


def _refresh(pairing: Pairing) -> str:
    return f"""
    WITH open_units AS MATERIALIZED ({ALL_OPEN}),
    each AS ({unit_figures(pairing, "open_units", "events_open_from")}),
    placed AS MATERIALIZED (
        SELECT unit_id, variant, day, {_THAT_DAY} AS segment FROM open_units AS units LEFT JOIN {_KNOWN} USING (unit_id)
    ),
    users AS (SELECT day, variant, segment, count(*) AS users FROM placed GROUP BY day, variant, segment),
    sums AS (
        SELECT placed.day, placed.variant, segment, {figure_sums(pairing)}
        FROM each JOIN placed USING (unit_id) GROUP BY placed.day, placed.variant, segment
    ),
    ends AS (SELECT day, max(last_event_at) AS last_event_at FROM each GROUP BY day),
    counters AS ({COUNTERS}),
    stored AS (
        INSERT INTO cohort_segments (
            environment_id, experiment, phase, question, day, variant, segment, changes, arrived, cut, folds,
            last_event_at, users, sum_y, sum_yy, sum_x, sum_xx, sum_xy, above_cap
        )
        SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(question)s, day, variant, segment, changes, arrived,
               cut, folds, last_event_at, users, coalesce(y, 0), coalesce(yy, 0), coalesce(x, 0), coalesce(xx, 0),
               coalesce(xy, 0), coalesce(above, 0)
        FROM users JOIN counters USING (day) JOIN ({_FOLDS}) AS folded USING (day)
        LEFT JOIN sums USING (day, variant, segment) LEFT JOIN ends USING (day)
        RETURNING day
    )
    SELECT count(DISTINCT day) FROM stored
    """


def _parameters(period: Period, breakdown: Breakdown) -> dict[str, Any]:
    key = breakdown.cache_key
    return pair_parameters(period, breakdown.pairing) | {"attribute": breakdown.attribute, "question": key, "lock": key}


def segment_summary(period: Period, breakdown: Breakdown) -> Segments:
    """Summarise valid roll-ups and the open rest; every unit and every exposure where no roll-up is valid."""
    parameters = _parameters(period, breakdown)
    rows = None
    if source_of(parameters) is DERIVED:
        with reading() as cursor:
            stale = parameters["stale"] = stale_days(cursor, parameters)
        aggregated = [day for day in days_of(parameters) if day not in stale]
        within, bounds = within_stretches("occurred_at", open_stretches(parameters, aggregated, ()))
        rows = _SUMS.read(_read(breakdown.pairing, within), parameters | bounds | midnights(parameters))
    return whole_segment_summary(period, breakdown) if rows is None else summaries_by_segment(rows)


def refresh_segments(period: Period, breakdown: Breakdown) -> int:
    parameters = _parameters(period, breakdown)
    if source_of(parameters) is not DERIVED:
        return 0
    with reading() as cursor:
        stale = stale_days(cursor, parameters)
    aggregate_days(parameters, stale)
    return _SUMS.refresh(_refresh(breakdown.pairing), parameters, breakdown.pairing.window)
