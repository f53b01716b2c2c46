"""Suggestions of attributes for conditions, from recent exposures and from the conditions of existing rules.

The cost is bounded, whatever the number of events: only the latest exposures are read, once in five minutes for each
environment.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from redis.exceptions import RedisError

from analytics.selectors import latest_attributes
from flags.models import FlagConfig, Segment
from tenancy.models import Environment

BUILT_IN = ("userId", "country", "plan", "platform")
_LOOKED_AT = 20_000
_LOOK_BACK = timedelta(days=7)
_MOST_ATTRIBUTES, _MOST_VALUES, _LONGEST = 60, 50, 60
_MOST_UNITS = 2_000
_CACHED_SECONDS = 300
_VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([-+].+)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ].+)?")


def attributes(request: HttpRequest, environment: Environment) -> HttpResponse:  # noqa: ARG001 - a page's signature
    """Answer with the suggestions, for anybody who may see the environment."""
    return JsonResponse(attributes_of(environment))


def attributes_of(environment: Environment) -> dict[str, dict[str, Any]]:
    """Return `{name: {kind, values}}`. `kind` is text, number, yesno, version, moment, or "" if unknown."""
    name = f"console:attributes:{environment.pk}"
    try:
        found: dict[str, dict[str, Any]] | None = cache.get(name)
    except RedisError:
        found = None
    if found is None:
        found = _gather([*_seen(environment), *_asked_for(environment)])
        with suppress(RedisError):  # Without the cache, each request computes the suggestions anew.
            cache.set(name, found, _CACHED_SECONDS)
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
    """Return no value of an attribute that differs for nearly every user. Such values identify users."""
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
    """Return `(unit, attributes)` of at most 2,000 of the latest exposures that carried attributes."""
    since = timezone.now() - _LOOK_BACK
    return latest_attributes(environment.pk, since, most_exposures=_LOOKED_AT, limit=_MOST_UNITS)


def _seen(environment: Environment) -> Iterator[tuple[str, Any]]:
    try:
        units = recent(environment)
    except OperationalError:
        # The store of events is another server. Without it, the rules' conditions still give suggestions.
        return
    for _, attributes in units:
        yield from attributes.items()


def _asked_for(environment: Environment) -> Iterator[tuple[str, Any]]:
    """Return the values in conditions of this environment's rules and segments, without patterns and parts of texts."""
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
