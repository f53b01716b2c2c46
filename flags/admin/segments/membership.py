"""The units that would come into a segment, or leave it, by an unsaved change. Only units seen lately are counted."""

from dataclasses import dataclass
from typing import Any

from openflagship.engine import CompiledEnvironment, Context

from flags.admin.flag.suggestions import recent
from flags.documents import CONTRACT_VERSION, environment_header, segment_document
from flags.models import Segment
from tenancy.models import Environment

# A flag that asks for nothing but the segment; it exists here alone.
_PROBE = "membership"


@dataclass(frozen=True, slots=True)
class Membership:
    """Units looked at, and how many of them are in the segment before and after, came in, or left."""

    units: int
    before: int
    after: int
    joined: int
    left: int
    has_pseudonyms: bool


def membership(environment: Environment, before: dict[str, Any] | None, after: dict[str, Any]) -> Membership:
    """Each unit by the attributes of its latest exposure that carried any."""
    units = dict(reversed(recent(environment)))
    others = {
        segment.key: segment_document(segment)
        for segment in Segment.objects.filter(environment=environment).exclude(key=after["key"])
    }
    old = _probe(environment, others, before, after["key"])
    new = _probe(environment, others, after, after["key"])
    pairs = []
    for unit, attributes in units.items():
        context = Context(unit, attributes)
        pairs.append((bool(old.evaluate(_PROBE, context, None).value), bool(new.evaluate(_PROBE, context, None).value)))
    return Membership(
        units=len(pairs),
        before=sum(was for was, _ in pairs),
        after=sum(will for _, will in pairs),
        joined=sum(will and not was for was, will in pairs),
        left=sum(was and not will for was, will in pairs),
        has_pseudonyms=environment.stores_pseudonyms,
    )


def _probe(
    environment: Environment, others: dict[str, dict[str, Any]], segment: dict[str, Any] | None, key: str
) -> CompiledEnvironment:
    rule = {
        "id": _PROBE,
        "priority": 1,
        "name": "",
        "conditions": [{"operator": "in_segment", "value": [key]}],
        "variant": "in",
    }
    flag = {
        "key": _PROBE, "type": "boolean", "enabled": True, "defaultVariant": "out", "offVariant": "out",
        "variants": [{"key": "out", "value": False}, {"key": "in", "value": True}], "killSwitchVariant": None,
        "bucketBy": "userId", "salt": _PROBE, "prerequisites": [], "targets": [], "rules": [rule],
        "experiment": None, "allocation": [], "metadata": {}, "version": 1,
    }  # fmt: skip
    empty: dict[str, Any] = {"key": key, "name": key, "included": [], "excluded": [], "conditions": None, "version": 1}
    return CompiledEnvironment.from_document(
        {
            "contract": CONTRACT_VERSION,
            "environment": environment_header(environment),
            "version": environment.config_version,
            "flags": {_PROBE: flag},
            "segments": {**others, key: segment or empty},
        }
    )
