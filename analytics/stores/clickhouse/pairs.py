"""Pairs of figures on ClickHouse, from the raw events, in the same whole millionths as on PostgreSQL."""

from datetime import timedelta
from typing import Any

from analytics.stores.base import Period
from analytics.stores.clickhouse import statements as sql
from analytics.stores.clickhouse.moments import NO_END_MS, period_of, unix_ms
from analytics.stores.pairs import Breakdown, Figure, Kind, Pairing, PairSummary, Segments, summaries_by_segment

_MILLISECOND = timedelta(milliseconds=1)


class ClickHousePairs:
    """The part of the store that answers with pairs of figures."""

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def pair_summary(self, period: Period, pairing: Pairing) -> dict[str, PairSummary]:
        statement = pair_statement(pairing, is_followed=period.next_phase is not None)
        rows = self._rows(statement, pair_parameters(period, pairing))
        return {variant: PairSummary.from_micros(*(int(figure) for figure in figures)) for variant, *figures in rows}

    def segment_summary(self, period: Period, breakdown: Breakdown) -> Segments:
        parameters = pair_parameters(period, breakdown.pairing) | {"name": breakdown.attribute}
        statement = pair_statement(breakdown.pairing, by=sql.ATTRIBUTE, is_followed=period.next_phase is not None)
        return summaries_by_segment(self._rows(statement, parameters))


_SUMS = "sum(y), sum(y * y), sum(x), sum(x * x), sum(x * y), sum(above), sum(late)"


def pair_statement(pairing: Pairing, *, by: str = "", sums: str = _SUMS, is_followed: bool = False) -> str:
    x = pairing.x or pairing.y
    late = "arrayCount(event -> event.3 = 1 AND event.1 >= first_ms AND event.2 = 0, its)"
    of_x = "toInt256(0)"
    if pairing.x is not None:
        of_x = _figure(x.kind, f"event.4 = 1 AND event.1 {'<' if pairing.before else '>='} first_ms", "event.6")
        late += "" if pairing.before else " + arrayCount(event -> event.4 = 1 AND event.2 = 0, its)"
    capped, is_above = "full", "0"
    if pairing.y.cap is not None:
        capped, is_above = "least(full, toInt256({cap:Int64}))", "full > toInt256({cap:Int64})"
    return sql.figures(
        event="(occurred_ms, "
        + ", ".join(
            [
                sql.IN_TIME,
                "event_name = {y_event:String}",
                "event_name = {x_event:String}",
                _micros("y", pairing.y),
                _micros("x", x),
            ]
        )
        + ")",
        kind="Tuple(Int64, UInt8, UInt8, UInt8, Int64, Int64)",
        names="event_name IN {event_names:Array(String)}",
        since="{since:Int64} - {before:Int64}",
        columns=f"""
            arrayFilter(
                event -> event.1 >= first_ms - {{before:Int64}}
                    AND event.1 < least(toInt64(first_ms) + {{window:Int64}}, again_ms),
                done
            ) AS its,
            {_figure(pairing.y.kind, "event.3 = 1 AND event.1 >= first_ms", "event.5")} AS full,
            {capped} AS y, {of_x} AS x, {is_above} AS above, {late} AS late""",
        sums=sums,
        by=by,
        is_followed=is_followed,
    )


def _micros(name: str, figure: Figure) -> str:
    """Express an event's value, or the 1 that an event without a value counts for."""
    value = sql.PROPERTY.format(name=f"{{{name}_property:String}}") if figure.value_property else "value"
    if figure.kind is Kind.AMOUNT and not figure.value_property:
        value = f"ifNull({value}, 1)"
    return sql.MICROS.format(value=value)


def _figure(kind: Kind, when: str, micros: str) -> str:
    """Express a figure of the events of one unit in `its` that came in time."""
    counts = f"{when} AND event.2 = 1"
    if kind is Kind.CONVERTED:
        return f"toInt256(arrayExists(event -> {counts}, its)) * 1000000"
    if kind is Kind.COUNT:
        return f"toInt256(arrayCount(event -> {counts}, its)) * 1000000"
    return f"arraySum(event -> if({counts}, toInt256({micros}), toInt256(0)), its)"


def pair_parameters(period: Period, pairing: Pairing) -> dict[str, Any]:
    x = pairing.x or pairing.y
    return {
        **period_of(period),
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
