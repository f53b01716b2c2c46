"""Pairs of figures on ClickHouse, from the raw events: the same whole millionths as on PostgreSQL."""

from datetime import timedelta
from typing import Any

from analytics.stores import clickhouse_sql as sql
from analytics.stores.base import Period
from analytics.stores.clickhouse_moments import NO_END_MS, unix_ms
from analytics.stores.pairs import Figure, Kind, Pairing, PairSummary

_MILLISECOND = timedelta(milliseconds=1)


class ClickHousePairs:
    """The part of the store that answers with pairs of figures."""

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def pair_summary(self, period: Period, pairing: Pairing) -> dict[str, PairSummary]:
        rows = self._rows(_statement(pairing), _of(period, pairing))
        return {variant: PairSummary.from_micros(*(int(figure) for figure in figures)) for variant, *figures in rows}

    def keep_pairs(self, period: Period, pairing: Pairing) -> int:  # noqa: ARG002 - the interface's
        """Nothing to do: every answer is read from the raw events' columns."""
        return 0


def _statement(pairing: Pairing) -> str:
    after = "event_name = {y_event:String} AND event.occurred_ms >= units.first_ms"
    late = f"countIf({after} AND NOT is_in_time)"
    y, x = _figure("y", pairing.y, after), "toInt256(0)"
    if pairing.x is not None:
        when = f"event_name = {{x_event:String}} AND event.occurred_ms {'<' if pairing.before else '>='} units.first_ms"
        x = _figure("x", pairing.x, when)
        late += "" if pairing.before else f" + countIf({when} AND NOT is_in_time)"
    capped, is_above = "full", "0"
    if pairing.y.cap is not None:
        capped, is_above = "least(full, toInt256({cap:Int64}))", "full > {cap:Int64}"
    return f"""
    SELECT variant, count(), sum(y), sum(y * y), sum(x), sum(x * x), sum(x * y), sum(above), sum(late)
    FROM (
        SELECT units.first_variant AS variant, {capped} AS y, figures.x AS x, {is_above} AS above,
               figures.late AS late
        FROM ({sql.UNITS}) AS units LEFT JOIN (
            SELECT event.unit_id AS unit_id, {y} AS full, {x} AS x, {late} AS late
            FROM (
                SELECT unit_id, event_name, occurred_ms, {_micros("y", pairing.y)} AS y_micros,
                       {_micros("x", pairing.x or pairing.y)} AS x_micros,
                       occurred_ms < {{deadline:Int64}} AND received_ms < {{deadline:Int64}} AS is_in_time
                FROM conversions FINAL
                WHERE environment_id = {{environment_id:Int64}} AND event_name IN {{event_names:Array(String)}}
                  AND NOT is_bot AND occurred_ms >= {{since:Int64}} - {{before:Int64}}
            ) AS event INNER JOIN ({sql.UNITS}) AS units ON event.unit_id = units.unit_id
            WHERE event.occurred_ms >= units.first_ms - {{before:Int64}}
              AND event.occurred_ms < units.first_ms + {{window:Int64}}
            GROUP BY event.unit_id
        ) AS figures ON figures.unit_id = units.unit_id
        WHERE NOT units.is_crossover
    ) GROUP BY variant ORDER BY variant
    """  # noqa: S608 - fixed text put together from fixed parts


def _micros(name: str, figure: Figure) -> str:
    if not figure.value_property:
        return "toInt256(round(value * 1000000))"
    return f"toInt256(round({sql.PROPERTY.format(name=f'{{{name}_property:String}}')} * 1000000))"


def _figure(name: str, figure: Figure, when: str) -> str:
    counted = f"{when} AND is_in_time"
    if figure.kind is Kind.CONVERTED:
        return f"toInt256(countIf({counted}) > 0) * 1000000"
    if figure.kind is Kind.COUNT:
        return f"toInt256(countIf({counted})) * 1000000"
    missing = 1_000_000 if figure.kind is Kind.AMOUNT and not figure.value_property else 0
    return f"sumIf(ifNull({name}_micros, toInt256({missing})), {counted})"


def _of(period: Period, pairing: Pairing) -> dict[str, Any]:
    x = pairing.x or pairing.y
    return {
        "environment_id": period.environment_id,
        "experiment": period.experiment,
        "since": unix_ms(period.since),
        "until": unix_ms(period.until) if period.until else NO_END_MS,
        "deadline": unix_ms(period.until + pairing.grace) if period.until else NO_END_MS,
        "window": pairing.window // _MILLISECOND,
        "before": pairing.before // _MILLISECOND,
        "event_names": pairing.event_names,
        "y_event": pairing.y.event_name,
        "x_event": x.event_name,
        "y_property": pairing.y.value_property,
        "x_property": x.value_property,
        "cap": pairing.y.cap_micros or 0,
    }
