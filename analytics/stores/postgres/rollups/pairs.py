# ruff: noqa: S608 - fixed text put together from fixed parts; values are always parameters
"""Pairs of figures on PostgreSQL: one row per unit, then sums over units, rolled up by cohort (`valid_rollups`)."""

from typing import Any

from analytics.stores.base import Period
from analytics.stores.pairs import Figure, Kind, Pairing, PairSummary
from analytics.stores.postgres.reads import DERIVED, IN_TIME, NO_END, Source, parameters_of, source_of
from analytics.stores.postgres.rollups.valid_rollups import (
    ALL_OPEN,
    COUNTERS,
    CROSSED,
    DAY,
    OPEN,
    Rollup,
    cohort_days,
    reading,
)

_PAIRS = Rollup("cohort_pairs", "sums.question = %(question)s")

# A number of that name, as large as a value may be (as `postgres.rows` reads it).
_OF_PROPERTY = """
CASE WHEN jsonb_typeof(jsonb_extract_path(event.properties, %({name}_property)s)) = 'number' THEN
    CASE WHEN abs(jsonb_extract_path(event.properties, %({name}_property)s)::numeric) <= 9e12
         THEN jsonb_extract_path(event.properties, %({name}_property)s)::float8 END
END"""
_ITS_EVENTS = """
event.unit_id = units.unit_id AND event.environment_id = %(environment_id)s
AND event.event_name {names} AND NOT event.is_bot
AND event.occurred_at >= %({events_from})s
AND event.occurred_at >= {first} AND event.occurred_at < units.first_at + %(window)s
AND (%(next_phase)s::timestamptz IS NULL OR event.occurred_at < %(next_phase)s::timestamptz OR NOT EXISTS (
    SELECT FROM first_exposures AS again
    WHERE again.environment_id = %(environment_id)s AND again.experiment = %(experiment)s
      AND again.phase = %(next_phase)s::timestamptz AND again.unit_id = units.unit_id
      AND again.first_at <= event.occurred_at
))
"""
_SUMS_OF_Y = "sum({sign}y) * {y} AS y, sum({sign}y * y) * {y} * {y} AS yy"
_SUMS_WITH_X = "sum({sign}x) * {x} AS x, sum({sign}x * x) * {x} * {x} AS xx, sum({sign}x * y) * {x} * {y} AS xy"
_NO_SUMS_WITH_X = "0::numeric AS x, 0::numeric AS xx, 0::numeric AS xy"
_ABOVE = "coalesce(sum({sign}1) FILTER (WHERE is_above), 0) AS above"
# Of the `users` and those sums, beside them what came late.
WHOLE_FIGURES = """
users, coalesce(y, 0), coalesce(yy, 0), coalesce(x, 0), coalesce(xx, 0), coalesce(xy, 0), coalesce(above, 0)::bigint,
coalesce(late, 0)::bigint
"""


def whole_pair_summary(period: Period, pairing: Pairing) -> dict[str, PairSummary]:
    """Summarise every unit, whatever roll-ups there are."""
    parameters = pair_parameters(period, pairing)
    common, units = every_unit(source_of(parameters))
    statement = f"""
    {common} each AS ({unit_figures(pairing, units, "events_from")})
    SELECT variant, {WHOLE_FIGURES}
    FROM (SELECT variant, count(*) AS users FROM {units} AS units GROUP BY variant) AS users
    LEFT JOIN (SELECT variant, {figure_sums(pairing)}, sum(late) AS late FROM each GROUP BY variant) AS sums
    USING (variant) ORDER BY variant
    """
    with reading() as cursor:
        cursor.execute(statement, parameters)
        return _summaries(cursor.fetchall())


def every_unit(source: Source, day: str = "NULL::date") -> tuple[str, str]:
    """Return what comes before a common table, and a FROM of all units that count, in the columns of `OPEN`."""
    units = f"(SELECT units.*, 1 AS sign, {day} AS day FROM {source.units} WHERE NOT is_crossover)"
    return f"{source.common}," if source.common else "WITH", units


def _summary(pairing: Pairing) -> str:
    return f"""
    WITH valid AS MATERIALIZED ({_PAIRS.valid} AND sums.day = ANY (%(valid_days)s::date[])),
    open_units AS MATERIALIZED ({OPEN}),
    crossed AS MATERIALIZED ({CROSSED}),
    each AS (
        {unit_figures(pairing, "open_units", "events_open_from")} UNION ALL
        {unit_figures(pairing, "crossed", "events_from")}
    ),
    parts AS (
        SELECT variant, users, sum_y AS y, sum_yy AS yy, sum_x AS x, sum_xx AS xx, sum_xy AS xy, above_cap AS above,
               0 AS late
        FROM valid
        UNION ALL
        SELECT variant, sum(sign), 0, 0, 0, 0, 0, 0, 0
        FROM (SELECT * FROM open_units UNION ALL SELECT * FROM crossed) AS units GROUP BY variant
        UNION ALL
        SELECT variant, 0, {figure_sums(pairing, "sign * ")}, coalesce(sum(late) FILTER (WHERE sign > 0), 0)
        FROM each GROUP BY variant
    )
    SELECT variant, sum(users)::bigint, sum(y), sum(yy), sum(x), sum(xx), sum(xy), sum(above)::bigint,
           sum(late)::bigint, (SELECT count(DISTINCT day) FROM valid)
    FROM parts GROUP BY variant HAVING sum(users) > 0 ORDER BY variant
    """


def _refresh(pairing: Pairing) -> str:
    return f"""
    WITH open_units AS MATERIALIZED ({ALL_OPEN}),
    each AS ({unit_figures(pairing, "open_units", "events_open_from")}),
    users AS (SELECT day, variant, count(*) AS users FROM open_units GROUP BY day, variant),
    sums AS (SELECT day, variant, {figure_sums(pairing)} FROM each GROUP BY day, variant),
    ends AS (SELECT day, max(last_event_at) AS last_event_at FROM each GROUP BY day),
    counters AS ({COUNTERS}),
    stored AS (
        INSERT INTO cohort_pairs (
            environment_id, experiment, phase, question, day, variant, changes, arrived, cut, last_event_at, users,
            sum_y, sum_yy, sum_x, sum_xx, sum_xy, above_cap
        )
        SELECT %(environment_id)s, %(experiment)s, %(phase)s, %(question)s, day, variant, changes, arrived,
               cut, last_event_at, users, coalesce(y, 0), coalesce(yy, 0), coalesce(x, 0), coalesce(xx, 0),
               coalesce(xy, 0), coalesce(above, 0)
        FROM users JOIN counters USING (day) LEFT JOIN sums USING (day, variant) LEFT JOIN ends USING (day)
        RETURNING day
    )
    SELECT count(DISTINCT day) FROM stored
    """


def figure_sums(pairing: Pairing, sign: str = "") -> str:
    """Sum both figures, their squares and their product, in millionths; without an x its sums cost nothing."""
    parts = [_SUMS_OF_Y, _NO_SUMS_WITH_X if pairing.x is None else _SUMS_WITH_X, _ABOVE]
    return ", ".join(part.format(sign=sign, **figure_steps(pairing)) for part in parts)


def its_events(pairing: Pairing, events_from: str) -> str:
    """Condition: the event is one of the unit's that may count. One name alone is found in the index in its order."""
    names = "= %(y_event)s" if len(pairing.event_names) == 1 else "IN (%(y_event)s, %(x_event)s)"
    first = "units.first_at - %(before)s::interval" if pairing.before else "units.first_at"
    return _ITS_EVENTS.format(names=names, events_from=events_from, first=first)


def unit_figures(pairing: Pairing, units: str, events_from: str) -> str:
    """Select a row for each unit that did anything: y, x, late events, and when the last one happened or came."""
    after = ["event.occurred_at >= units.first_at"] if pairing.before else []
    if len(pairing.event_names) > 1:
        after.append("event.event_name = %(y_event)s")
    late = _late(after)
    y, x = _figure("y", pairing.y, after), "0::numeric"
    if pairing.x is not None:
        when = ["event.event_name = %(x_event)s"]
        when.append(f"event.occurred_at {'<' if pairing.before else '>='} units.first_at")
        x = _figure("x", pairing.x, when)
        # What came late of the time before is left out as well; nobody waits for it.
        late += "" if pairing.before else f" + {_late(when)}"
    capped = "least(y, %(cap)s::numeric)" if pairing.y.cap is not None else "y"
    is_above = "y > %(cap)s::numeric" if pairing.y.cap is not None else "false"
    return f"""
    SELECT unit_id, variant, day, sign, {capped} AS y, x, {is_above} AS is_above, late, last_event_at FROM (
        SELECT units.unit_id, units.variant, units.day, units.sign, {y} AS y, {x} AS x, {late} AS late,
               max(greatest(event.occurred_at, event.received_at)) AS last_event_at
        FROM {units} AS units JOIN conversions AS event ON {its_events(pairing, events_from)}
        GROUP BY units.unit_id, units.variant, units.day, units.sign
    ) AS figures
    """


def _late(conditions: list[str]) -> str:
    return f"count(*) FILTER (WHERE {' AND '.join([*conditions, f'NOT ({IN_TIME})'])})"


def _figure(name: str, figure: Figure, conditions: list[str]) -> str:
    """Express the figure in steps of `figure_steps`: bigint where it is a number of events, else numeric."""
    counted = f"FILTER (WHERE {' AND '.join([*conditions, IN_TIME])})"
    if figure.kind in {Kind.CONVERTED, Kind.COUNT}:
        events = f"count(*) {counted}"
        events = f"least({events}, 1)" if figure.kind is Kind.CONVERTED else events
        return events if _is_in_events(figure) else f"({events} * 1000000)::numeric"
    micros = f"round({value_of(name, figure)} * 1000000)::bigint"
    if figure.kind is Kind.AMOUNT and not figure.value_property:
        micros = f"coalesce({micros}, 1000000)"
    return f"coalesce(sum({micros}) {counted}, 0)::numeric"


def _is_in_events(figure: Figure) -> bool:
    """Whether the figure is a number of events. Their squares fit 64 bits; those of millionths would not."""
    return figure.kind in {Kind.CONVERTED, Kind.COUNT} and figure.cap is None


def figure_steps(pairing: Pairing) -> dict[str, int]:
    """Return how many millionths one step of y and of x in `unit_figures` is."""
    figures = {"y": pairing.y, "x": pairing.x}
    return {name: 1_000_000 if figure and _is_in_events(figure) else 1 for name, figure in figures.items()}


def value_of(name: str, figure: Figure) -> str:
    return _OF_PROPERTY.format(name=name) if figure.value_property else "event.value"


def pair_parameters(period: Period, pairing: Pairing) -> dict[str, Any]:
    parameters = parameters_of(period)
    x = pairing.x or pairing.y
    return parameters | {
        "window": pairing.window,
        "deadline": period.until + pairing.grace if period.until else NO_END,
        "y_event": pairing.y.event_name,
        "x_event": x.event_name,
        "y_property": pairing.y.value_property,
        "x_property": x.value_property,
        "cap": pairing.y.cap_micros,
        "before": pairing.before,
        "events_from": period.since - pairing.before,
        "question": pairing.cache_key,
        "lock": pairing.cache_key,
        "event_names": pairing.event_names,
        "before_days": -(-pairing.before // DAY) if pairing.before else 0,
        "span_days": -(-pairing.window // DAY),
        **cohort_days(period, parameters["until"], pairing.window),
    }


def _summaries(rows: list[tuple[Any, ...]]) -> dict[str, PairSummary]:
    return {variant: PairSummary.from_micros(*figures) for variant, *figures in rows}


def pair_summary(period: Period, pairing: Pairing) -> dict[str, PairSummary]:
    """Summarise valid roll-ups and the open rest; every unit where no roll-up is valid."""
    parameters = pair_parameters(period, pairing)
    rows = _PAIRS.read(_summary(pairing), parameters) if source_of(parameters) is DERIVED else None
    return whole_pair_summary(period, pairing) if rows is None else _summaries(rows)


def refresh_pairs(period: Period, pairing: Pairing) -> int:
    parameters = pair_parameters(period, pairing)
    if source_of(parameters) is not DERIVED:
        return 0
    return _PAIRS.refresh(_refresh(pairing), parameters, pairing.window)
