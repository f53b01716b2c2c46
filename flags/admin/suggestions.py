"""Attributes to suggest while somebody writes a condition: those of recent exposures, and those rules ask for already.

Bounded whatever the number of events: the latest exposures alone are looked at, once in five minutes an environment.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from flags.models import FlagConfig, Segment
from tenancy.models import Environment

BUILT_IN = ("userId", "country", "plan", "platform")
_LOOKED_AT = 20_000
_LOOK_BACK = timedelta(days=7)
_MOST_ATTRIBUTES, _MOST_VALUES, _LONGEST = 60, 50, 60
_KEPT_SECONDS = 300
_VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([-+].+)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ].+)?")
# Ids of exposures begin with their time, so the latest ones are an index's end; then this environment's among them.
_LATEST = """
SELECT unit_id, attributes::text FROM (
    SELECT environment_id, unit_id, attributes FROM exposures WHERE evaluation_id >= %s AND evaluation_id < %s
    ORDER BY evaluation_id DESC LIMIT %s
) AS latest
WHERE environment_id = %s AND attributes IS NOT NULL LIMIT 2000
"""


def attributes_of(environment: Environment) -> dict[str, dict[str, Any]]:
    """Return `{name: {kind, values}}`; `kind` is text, number, yesno, version, moment, or "" where it is not known."""
    name = f"console:attributes:{environment.pk}"
    found: dict[str, dict[str, Any]] | None = cache.get(name)
    if found is None:
        found = _gather([*_seen(environment), *_asked_for(environment)])
        cache.set(name, found, _KEPT_SECONDS)
    return found


def _gather(pairs: Iterable[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {name: {} for name in BUILT_IN}
    for name, value in pairs:
        if name not in values and len(values) >= _MOST_ATTRIBUTES:
            continue
        known = values.setdefault(name, {})
        said = _said(value)
        if said and len(said) <= _LONGEST and len(known) <= _MOST_VALUES:
            known.setdefault(said, value)
    return {name: {"kind": _kind(name, known), "values": _offered(name, known)} for name, known in values.items()}


def _offered(name: str, known: dict[str, Any]) -> list[str]:
    """None of an attribute with a value for nearly everybody: it names people, and helps nobody to choose."""
    return [] if name == "userId" or len(known) > _MOST_VALUES else sorted(known)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, (str, int, float)) else ""


def _kind(name: str, known: dict[str, Any]) -> str:
    kinds = {"text"} if name == "userId" else {_kind_of(value) for value in known.values()}
    return kinds.pop() if len(kinds) == 1 else "text" if kinds and kinds <= {"text", "version", "moment"} else ""


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "yesno"
    if isinstance(value, (int, float)):
        return "number"
    return "version" if _VERSION.fullmatch(value) else "moment" if _MOMENT.fullmatch(value) else "text"


def recent(environment: Environment) -> list[tuple[str, dict[str, Any]]]:
    """`(unit, attributes)` of the environment's exposures among the latest of all that carried any; 2,000 at most."""
    now = timezone.now()
    bounds = [_first_id(now - _LOOK_BACK), _first_id(now + timedelta(hours=1))]
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, [*bounds, _LOOKED_AT, environment.pk])
        return [(unit, json.loads(text)) for unit, text in cursor.fetchall()]


def _seen(environment: Environment) -> Iterator[tuple[str, Any]]:
    for _, attributes in recent(environment):
        yield from attributes.items()


def _first_id(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _asked_for(environment: Environment) -> Iterator[tuple[str, Any]]:
    """What conditions of this environment's rules and segments compare, without patterns and parts of texts."""
    configs = FlagConfig.objects.filter(environment=environment, rules__isnull=False)
    waiting: list[Any] = list(configs.values_list("rules__conditions", flat=True)[:500])
    waiting += Segment.objects.filter(environment=environment).values_list("conditions", flat=True)[:200]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict) and "operator" in node:
            if node.get("attribute"):
                value = node.get("value") if node["operator"] in {"equals", "not_equals", "in", "not_in"} else None
                yield from ((node["attribute"], item) for item in (value if isinstance(value, list) else [value]))
        elif isinstance(node, dict):
            waiting += node.values()
