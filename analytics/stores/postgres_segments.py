# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Pairs of figures by an attribute that units carried, on PostgreSQL: one pass over the experiment's exposures."""

from analytics.stores.base import Period
from analytics.stores.pairs import Pairing, Segments, summaries_by_segment
from analytics.stores.postgres_kept import reading
from analytics.stores.postgres_pairs import FIGURE_SUMS, WHOLE_FIGURES, every_unit, pair_parameters, unit_figures
from analytics.stores.postgres_reads import source_of

_CARRIED = """
SELECT unit_id, occurred_at, evaluation_id, jsonb_extract_path(attributes, %(attribute)s) AS value FROM exposures
WHERE environment_id = %(environment_id)s AND experiment = %(experiment)s
  AND occurred_at >= %(since)s AND occurred_at < %(until)s AND NOT is_bot AND attributes IS NOT NULL
"""
_IS_PLAIN = "jsonb_typeof(value) IN ('string', 'number', 'boolean')"
# Hashed by unit, where all exposures would have to be sorted; only of units that carried several values the first one
# is looked up, in the index by experiment and time.
_SEGMENTS = f"""
SELECT unit_id, CASE WHEN low = high THEN low ELSE (
    SELECT value::text FROM ({_CARRIED} AND occurred_at = several.first_at AND unit_id = several.unit_id) AS first
    WHERE {_IS_PLAIN} ORDER BY evaluation_id LIMIT 1
) END AS segment
FROM (
    SELECT unit_id, min(occurred_at) AS first_at, min(value::text) AS low, max(value::text) AS high
    FROM ({_CARRIED}) AS carried WHERE {_IS_PLAIN} GROUP BY unit_id
) AS several
"""


class PostgresSegments:
    """The part of the store that answers by segment."""

    def segment_summary(self, period: Period, pairing: Pairing, attribute: str) -> Segments:
        parameters = pair_parameters(period, pairing) | {"attribute": attribute}
        common, units = every_unit(source_of(parameters))
        statement = f"""
        {common} each AS ({unit_figures(pairing, units, "events_from")}), segments AS ({_SEGMENTS})
        SELECT segment, variant, {WHOLE_FIGURES} FROM (
            SELECT segment, units.variant, count(*) AS users, {FIGURE_SUMS.format(sign="")}, sum(late) AS late
            FROM {units} AS units LEFT JOIN segments USING (unit_id) LEFT JOIN each USING (unit_id)
            GROUP BY segment, units.variant
        ) AS sums
        """
        with reading() as cursor:
            cursor.execute(statement, parameters)
            return summaries_by_segment(cursor.fetchall())
