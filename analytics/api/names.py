"""The names in events, held against what the apps above know of them: metrics, flags, variants and units."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import structlog
from django.db import DatabaseError
from openflagship.engine.bucketing import unit_text

from analytics.api.bodies import MAX_UNIT_CHARACTERS, ConversionIn, ExposureIn, MetricIn, Remark
from analytics.enrichment.known_names import KNOWN_NAMES
from analytics.event_records import ConversionEvent, event_id_of

log = structlog.get_logger(__name__)

Name = TypeVar("Name", bound=Hashable)


def under_event_names(
    environment_id: int, sent: list[tuple[int, MetricIn]]
) -> tuple[list[tuple[int, MetricIn]], list[Remark]]:
    """Put each event under the event name of the metric whose key it was sent under; warn of keys that count nowhere.

    While PostgreSQL is away the names stay as they came: taking the event in comes first.
    """
    try:
        names = KNOWN_NAMES.event_names(environment_id, {event.event_name for _, event in sent})
    except DatabaseError as error:
        log.warning("events are stored under the names they came with", because=str(error))
        return sent, []
    found = [
        (index, event)
        if (name := names.get(event.event_name, event.event_name)) == event.event_name
        else (index, msgspec.structs.replace(event, event_name=name))
        for index, event in sent
    ]
    unknown = _first_of((index, event.event_name) for index, event in sent if event.event_name not in names)
    return found, [
        Remark(
            index,
            "unknown_metric",
            f"No metric has the key {name!r}, and none counts an event of that name{_more(count)}: it is stored, and "
            "counts once a metric does.",
        )
        for name, (index, count) in unknown.items()
    ]


def unknown_flags(environment_id: int, sent: Sequence[tuple[int, ExposureIn]]) -> list[Remark]:
    """Warn of exposures of flags, or of variants, that are not served here; one warning a name."""
    flags = KNOWN_NAMES.flags(environment_id)
    if flags is None:
        return []
    named = _first_of((index, (event.flag_key, event.variant)) for index, event in sent)
    found = []
    for (flag_key, variant), (index, count) in named.items():
        if flag_key not in flags:
            text = f"No flag {flag_key!r} is served here, so this exposure{_more(count)} is stored and counts nowhere."
            found.append(Remark(index, "unknown_flag", text))
        elif (variants := flags[flag_key]) is not None and variant not in variants:
            text = f"The flag {flag_key!r} has no variant {variant!r}; this exposure{_more(count)} is stored."
            found.append(Remark(index, "unknown_variant", f"{text} It has {', '.join(sorted(variants))}."))
    return found


def for_units_beside(
    environment_id: int, sent: Sequence[tuple[int, ConversionIn | MetricIn]], events: Sequence[ConversionEvent]
) -> list[ConversionEvent]:
    """The same conversions once more for each unit that is named in `properties`, such as a user's company.

    An attribute counts as a unit where some flag of the environment buckets by it. The copies keep the numbers alone,
    which figures read: the rest may tell of the user, and erasing the user leaves a company's events.
    """
    names = KNOWN_NAMES.units(environment_id)
    if not names:
        return []
    return [
        # Made of the event's own id, its id is the same whenever the event is sent again.
        msgspec.structs.replace(
            event,
            unit_id=unit,
            event_id=event_id_of(event.event_id.hex, event.event_name, unit),
            properties=_numbers_of(given.properties),
        )
        for (_, given), event in zip(sent, events, strict=True)
        if given.properties
        for unit in _units_in(given.properties, names)
        if unit != event.unit_id
    ]


def _numbers_of(properties: Mapping[str, Any]) -> str | None:
    numbers = {name: value for name, value in properties.items() if type(value) in {int, float}}
    return msgspec.json.encode(numbers).decode() if numbers else None


def _units_in(properties: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """The units that the engine would read there."""
    found = (unit_text(properties.get(name)) for name in names)
    return {unit for unit in found if unit and len(unit) <= MAX_UNIT_CHARACTERS}


def _first_of(named: "Iterable[tuple[int, Name]]") -> "dict[Name, tuple[int, int]]":
    """By name: the first index it is at, and how often it comes."""
    found: dict[Name, tuple[int, int]] = {}
    for index, name in named:
        first, count = found.get(name, (index, 0))
        found[name] = (first, count + 1)
    return found


def _more(count: int) -> str:
    return f" (as {count - 1:,} more of this batch)" if count > 1 else ""
