"""Distributions of figures on ClickHouse, from the raw events. The rows equal PostgreSQL's."""

from typing import Any

from analytics.stores.base import Period
from analytics.stores.clickhouse import statements as sql
from analytics.stores.clickhouse.pairs import pair_parameters, pair_statement
from analytics.stores.distributions import Distributed, Distribution, Scope, merged, rows_of

_MICROS = 10**6


class ClickHouseDistributions:
    """The part of the store that answers with distributions."""

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def distribution(self, period: Period, distribution: Distribution) -> dict[str, Distributed]:
        parameters, pairing = pair_parameters(period, distribution.pairing), distribution.pairing
        is_followed = period.next_phase is not None
        if distribution.scope is Scope.EVENTS:
            found = self._rows(_of_events(bool(pairing.y.value_property), is_followed=is_followed), parameters)
            columns = {variant: counted for variant, _, counted, _ in found}
        else:
            # Both figures, in whole millionths, of each unit that has a figure other than 0.
            figures = "groupArrayIf((y, x), y <> 0 OR x <> 0)"
            statement = pair_statement(pairing, sums=f"{figures}, sum(late)", is_followed=is_followed)
            found = self._rows(statement, parameters)
            columns = {
                variant: (*([int(pair[n]) / _MICROS for pair in pairs] for n in (0, 1)), [1] * len(pairs))
                for variant, _, pairs, _ in found
            }
        scope = distribution.scope
        return {
            variant: Distributed(int(units), merged(scope, [(1, rows_of(scope, columns[variant]))]), int(late))
            for variant, units, _, late in found
        }


def _of_events(is_of_property: bool, *, is_followed: bool) -> str:
    """Group by value: the number of events, the units whose least value it is, and the sums of 2k - 1 and of b."""
    value = sql.PROPERTY.format(name="{y_property:String}") if is_of_property else "value"
    return sql.figures(
        event=f"(occurred_ms, {sql.IN_TIME}, {value})",
        kind="Tuple(Int64, UInt8, Nullable(Float64))",
        names="event_name = {y_event:String}",
        since="{since:Int64}",
        columns="""
            arrayFilter(
                event -> event.1 >= first_ms AND event.1 < least(toInt64(first_ms) + {window:Int64}, again_ms), done
            ) AS its,
            arrayCount(event -> event.2 = 0, its) AS late,
            arraySort(arrayMap(
                event -> assumeNotNull(event.3), arrayFilter(event -> event.2 = 1 AND isNotNull(event.3), its)
            )) AS found,
            arrayMap(k -> toInt64(k), arrayEnumerate(found)) AS ranks""",
        sums="""
            sumMap(found, arrayMap(k -> toInt64(1), ranks), arrayMap(k -> toInt64(k = 1), ranks),
                   arrayMap(k -> 2 * k - 1, ranks), arrayMap(k -> toInt64(length(found)), ranks)),
            sum(late)""",
        is_followed=is_followed,
    )
