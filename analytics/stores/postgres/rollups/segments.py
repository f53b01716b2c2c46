# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Pairs of figures by an attribute that units carried, on PostgreSQL, kept by cohort (see `postgres_kept`).

A unit may carry the attribute for the first time long after its first day. So a cohort's sums are kept by what its
units carried on that day, as far as it was folded; of those that carried it later, or whose exposures that are not
folded yet say otherwise, the figures are moved to where they belong at each reading.
"""

import json
from typing import Any

from analytics.stores.base import Period
from analytics.stores.pairs import Pairing, Segments, summaries_by_segment
from analytics.stores.postgres.reads import KEPT, source_of
from analytics.stores.postgres.rollups.cohort_sizes import ENROLLED
from analytics.stores.postgres.rollups.pairs import (
    FIGURE_SUMS,
    WHOLE_FIGURES,
    every_unit,
    pair_parameters,
    unit_figures,
)
from analytics.stores.postgres.rollups.segment_days import OF_ATTRIBUTE, SEGMENTS, STALE, fold, midnights, stale_days
from analytics.stores.postgres.rollups.valid_rollups import (
    ALL_YOUNG,
    COUNTERS,
    CROSSED,
    YOUNG,
    Kept,
    days_of,
    open_stretches,
    reading,
    within_stretches,
)

_FOLDS = f"SELECT day, folds FROM segment_days WHERE {OF_ATTRIBUTE}"
_SUMS = Kept(
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


def whole_segment_summary(period: Period, pairing: Pairing, attribute: str) -> Segments:
    """From every unit and every exposure, whatever is kept."""
    parameters = pair_parameters(period, pairing) | {"attribute": attribute}
    common, units = every_unit(source_of(parameters))
    statement = f"""
    {common} each AS ({unit_figures(pairing, units, "events_from")}),
    segments AS ({SEGMENTS.format(within="true")})
    SELECT segments.value, variant, {WHOLE_FIGURES} FROM (
        SELECT segments.value, units.variant, count(*) AS users, {FIGURE_SUMS.format(sign="")}, sum(late) AS late
        FROM {units} AS units LEFT JOIN segments USING (unit_id) LEFT JOIN each USING (unit_id)
        GROUP BY segments.value, units.variant
    ) AS segments
    """
    with reading() as cursor:
        cursor.execute(statement, parameters)
        return summaries_by_segment(cursor.fetchall())


def _read(pairing: Pairing, within: str) -> str:
    """`within` says when the exposures happened that are not folded."""
    return f"""
    WITH holding AS MATERIALIZED ({_SUMS.holding} AND sums.day = ANY (%(held)s::date[])),
    young AS MATERIALIZED ({YOUNG}),
    crossed AS MATERIALIZED ({CROSSED}),
    fresh AS MATERIALIZED ({SEGMENTS.format(within=within)}),
    movable AS MATERIALIZED (
        SELECT units.*, {_THAT_DAY} AS that_day, {_BEFORE_END} AS before_end
        FROM (
            SELECT unit_id, variant, first_at, (first_at AT TIME ZONE 'UTC')::date AS day FROM first_exposures
            WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s AND phase = %(phase)s
              AND (crossed_at IS NULL OR crossed_at >= %(until)s) AND {ENROLLED}
              AND unit_id IN (
                  SELECT unit_id FROM unit_segments WHERE {OF_ATTRIBUTE} AND is_late
                  UNION ALL SELECT unit_id FROM fresh
              )
        ) AS units
        LEFT JOIN {_KNOWN} USING (unit_id) LEFT JOIN fresh USING (unit_id)
        WHERE units.day = ANY (%(held)s::date[])
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
        FROM young AS units LEFT JOIN {_KNOWN} USING (unit_id) LEFT JOIN fresh USING (unit_id)
        UNION ALL
        SELECT unit_id, variant, sign, segment FROM corrections
    ),
    each AS (
        {unit_figures(pairing, "young", "events_open_from")} UNION ALL
        {unit_figures(pairing, "corrections", "events_from")}
    ),
    parts AS (
        SELECT segment, variant, users, sum_y AS y, sum_yy AS yy, sum_x AS x, sum_xx AS xx, sum_xy AS xy,
               above_cap AS above, 0 AS late
        FROM holding
        UNION ALL
        SELECT segment, variant, sum(sign), 0, 0, 0, 0, 0, 0, 0 FROM placed GROUP BY segment, variant
        UNION ALL
        SELECT segment, placed.variant, 0, {FIGURE_SUMS.format(sign="sign * ")},
               coalesce(sum(late) FILTER (WHERE sign > 0), 0)
        FROM each JOIN placed USING (unit_id, sign) GROUP BY segment, placed.variant
    )
    SELECT segment, variant, sum(users)::bigint, sum(y), sum(yy), sum(x), sum(xx), sum(xy), sum(above)::bigint,
           sum(late)::bigint,
           (SELECT count(DISTINCT day) FROM holding CROSS JOIN ({STALE}) AS now WHERE now.days = %(stale)s::date[])
    FROM parts GROUP BY segment, variant HAVING sum(users) > 0
    """


def _keep(pairing: Pairing) -> str:
    return f"""
    WITH young AS MATERIALIZED ({ALL_YOUNG}),
    each AS ({unit_figures(pairing, "young", "events_open_from")}),
    placed AS MATERIALIZED (
        SELECT unit_id, variant, day, {_THAT_DAY} AS segment FROM young AS units LEFT JOIN {_KNOWN} USING (unit_id)
    ),
    users AS (SELECT day, variant, segment, count(*) AS users FROM placed GROUP BY day, variant, segment),
    sums AS (
        SELECT placed.day, placed.variant, segment, {FIGURE_SUMS.format(sign="")}
        FROM each JOIN placed USING (unit_id) GROUP BY placed.day, placed.variant, segment
    ),
    ends AS (SELECT day, max(last_event_at) AS last_event_at FROM each GROUP BY day),
    counters AS ({COUNTERS}),
    kept AS (
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
    SELECT count(DISTINCT day) FROM kept
    """


def _parameters(period: Period, pairing: Pairing, attribute: str) -> dict[str, Any]:
    question = json.dumps([attribute, pairing.question], ensure_ascii=False, separators=(",", ":"))
    return pair_parameters(period, pairing) | {"attribute": attribute, "question": question, "lock": question}


class PostgresSegments:
    """The part of the store that answers by segment."""

    def segment_summary(self, period: Period, pairing: Pairing, attribute: str) -> Segments:
        """From what is kept and the rest; from every unit and every exposure where nothing is."""
        parameters = _parameters(period, pairing, attribute)
        rows = None
        if source_of(parameters) is KEPT:
            with reading() as cursor:
                stale = parameters["stale"] = stale_days(cursor, parameters)
            folded = [day for day in days_of(parameters) if day not in stale]
            within, bounds = within_stretches("occurred_at", open_stretches(parameters, folded, ()))
            rows = _SUMS.read(_read(pairing, within), parameters | bounds | midnights(parameters))
        return whole_segment_summary(period, pairing, attribute) if rows is None else summaries_by_segment(rows)

    def keep_segments(self, period: Period, pairing: Pairing, attribute: str) -> int:
        parameters = _parameters(period, pairing, attribute)
        if source_of(parameters) is not KEPT:
            return 0
        with reading() as cursor:
            stale = stale_days(cursor, parameters)
        fold(parameters, stale)
        return _SUMS.keep(_keep(pairing), parameters, pairing.window)
