# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Distributions of figures on PostgreSQL: rows packed by the server, rolled up by cohort (`valid_rollups`).

Reading a roll-up costs a sort of numbers, where the units and their events had to be joined.
"""

from typing import Any

from analytics.stores.base import Period
from analytics.stores.distributions import Distributed, Distribution, Scope, merged, packed_rows
from analytics.stores.postgres.reads import DERIVED, IN_TIME, source_of
from analytics.stores.postgres.rollups.pairs import (
    every_unit,
    figure_steps,
    its_events,
    pair_parameters,
    unit_figures,
    value_of,
)
from analytics.stores.postgres.rollups.valid_rollups import ALL_OPEN, COUNTERS, CROSSED, OPEN, Rollup, reading

_ROLLUP = Rollup("cohort_distributions", "sums.question = %(question)s")
_SENT = {
    Scope.EVENTS: "float8send(value) || int8send(events) || int8send(units) || int8send(squares) || int8send(products)",
    Scope.UNITS: "float8send(y) || float8send(x) || int8send(units)",
}


def whole_distribution(period: Period, distribution: Distribution) -> dict[str, Distributed]:
    """Collect the figures of every unit, whatever roll-ups there are."""
    parameters = _parameters(period, distribution)
    common, units = every_unit(source_of(parameters), day="(first_at AT TIME ZONE 'UTC')::date")
    parts = _parts(distribution, {"counting": "events_from"})
    statement = f"{common} counting AS ({units}), {parts} SELECT variant, sign, units, late, packed FROM parts"
    with reading() as cursor:
        cursor.execute(statement, parameters)
        return _distributed(distribution.scope, cursor.fetchall())


def _parts(distribution: Distribution, events_from: dict[str, str]) -> str:
    """Common tables up to `parts`: of each of those of units the number by variant, day and sign, and packed rows."""
    each = _of_events if distribution.scope is Scope.EVENTS else _of_units
    of_each = [each(distribution, units, since) for units, since in events_from.items()]
    every = " UNION ALL ".join(f"SELECT variant, day, sign FROM {units}" for units in events_from)
    return f"""
    each AS MATERIALIZED ({" UNION ALL ".join(of_each)}),
    counted AS ({_COUNTED[distribution.scope].format(**figure_steps(distribution.pairing))}),
    parts AS (
        SELECT variant, sign, day, units, coalesce(late, 0) AS late, packed, last_event_at
        FROM (SELECT variant, sign, day, count(*) AS units FROM ({every}) AS every GROUP BY variant, sign, day) AS sizes
        LEFT JOIN (
            SELECT variant, sign, day, string_agg({_SENT[distribution.scope]}, ''::bytea) AS packed
            FROM counted GROUP BY variant, sign, day
        ) AS packs USING (variant, sign, day)
        LEFT JOIN (
            SELECT variant, sign, day, sum(late) FILTER (WHERE sign > 0)::bigint AS late,
                   max(last_event_at) AS last_event_at
            FROM each GROUP BY variant, sign, day
        ) AS ends USING (variant, sign, day)
    )
    """


def _of_events(distribution: Distribution, units: str, events_from: str) -> str:
    return f"""
    SELECT units.unit_id, units.variant, units.day, units.sign, {value_of("y", distribution.pairing.y)} AS value,
           {IN_TIME} AS is_in_time, (NOT ({IN_TIME}))::int AS late,
           greatest(event.occurred_at, event.received_at) AS last_event_at
    FROM {units} AS units JOIN conversions AS event ON {its_events(distribution.pairing, events_from)}
    """


def _of_units(distribution: Distribution, units: str, events_from: str) -> str:
    return unit_figures(distribution.pairing, units, events_from)


_COUNTED = {
    Scope.EVENTS: """
    SELECT variant, sign, day, value, count(*) AS events, count(*) FILTER (WHERE k = 1) AS units,
           sum(2 * k - 1)::bigint AS squares, sum(b)::bigint AS products
    FROM (
        SELECT variant, sign, day, value, row_number() OVER (PARTITION BY unit_id, sign ORDER BY value) AS k,
               count(*) OVER (PARTITION BY unit_id, sign) AS b
        FROM each WHERE is_in_time AND value IS NOT NULL
    ) AS ranked GROUP BY variant, sign, day, value
    """,
    # A product with a decimal fraction is exact, a quotient need not be.
    Scope.UNITS: """
    SELECT variant, sign, day, (y * {y} * 0.000001)::float8 AS y, (x * {x} * 0.000001)::float8 AS x, count(*) AS units
    FROM each WHERE y <> 0 OR x <> 0 GROUP BY variant, sign, day, y, x
    """,
}


def _read(distribution: Distribution) -> str:
    parts = _parts(distribution, {"open_units": "events_open_from", "crossed": "events_from"})
    return f"""
    WITH valid AS MATERIALIZED ({_ROLLUP.valid} AND sums.day = ANY (%(valid_days)s::date[])),
    open_units AS MATERIALIZED ({OPEN}),
    crossed AS MATERIALIZED ({CROSSED}),
    {parts}
    SELECT variant, sign, units, late, packed, (SELECT count(DISTINCT day) FROM valid) FROM (
        SELECT variant, 1 AS sign, units, 0 AS late, packed FROM valid
        UNION ALL SELECT variant, sign, units, late, packed FROM parts
    ) AS all_parts
    """


def _refresh(distribution: Distribution) -> str:
    return f"""
    WITH open_units AS MATERIALIZED ({ALL_OPEN}),
    {_parts(distribution, {"open_units": "events_open_from"})},
    ends AS (SELECT day, max(last_event_at) AS last_event_at FROM parts GROUP BY day),
    counters AS ({COUNTERS}),
    stored AS (
        INSERT INTO cohort_distributions (
            environment_id, experiment, phase, question, day, variant, changes, arrived, cut, last_event_at,
            units, packed
        )
        SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(question)s, day, variant, changes, arrived, cut,
               ends.last_event_at, units, coalesce(packed, ''::bytea)
        FROM parts JOIN counters USING (day) JOIN ends USING (day)
        RETURNING day
    )
    SELECT count(DISTINCT day) FROM stored
    """


def _parameters(period: Period, distribution: Distribution) -> dict[str, Any]:
    key = distribution.cache_key
    return pair_parameters(period, distribution.pairing) | {"question": key, "lock": key}


def _distributed(scope: Scope, rows: list[tuple[Any, ...]]) -> dict[str, Distributed]:
    """From (variant, sign, units, late, packed rows)."""
    units: dict[str, int] = {}
    lates: dict[str, int] = {}
    parts: dict[str, list[tuple[int, Any]]] = {}
    for variant, sign, count, late, packed in rows:
        units[variant] = units.get(variant, 0) + sign * count
        lates[variant] = lates.get(variant, 0) + late
        parts.setdefault(variant, []).append((sign, packed_rows(scope, packed or b"")))
    return {
        variant: Distributed(units[variant], merged(scope, parts[variant]), lates[variant])
        for variant in sorted(units)
        if units[variant]
    }


def distribution(period: Period, asked: Distribution) -> dict[str, Distributed]:
    """Collect valid roll-ups and the open rest; the figures of every unit where no roll-up is valid."""
    parameters = _parameters(period, asked)
    rows = _ROLLUP.read(_read(asked), parameters) if source_of(parameters) is DERIVED else None
    return whole_distribution(period, asked) if rows is None else _distributed(asked.scope, rows)


def refresh_distribution(period: Period, asked: Distribution) -> int:
    parameters = _parameters(period, asked)
    if source_of(parameters) is not DERIVED:
        return 0
    return _ROLLUP.refresh(_refresh(asked), parameters, asked.pairing.window)
