"""Which of a flag's recent users conditions match, as far as what their exposures kept tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openflagship.engine import CompiledEnvironment

from analytics import selectors as analytics
from flags.documents import unit_names
from flags.evaluation.compiled import compiled_at
from flags.evaluation.impact import MOST_EXPOSURES_READ, MOST_USERS_EXAMINED, attributes_asked, context_maker
from flags.selectors import conditions_in, segments_in
from tenancy.models import Environment

_RULE = "audience"


@dataclass(frozen=True, slots=True)
class Audience:
    """Units that the conditions match, and of how many units it is known whether they do."""

    units: frozenset[str]
    known: int

    @property
    def share(self) -> float | None:
        return len(self.units) / self.known if self.known else None


def recent_audience(environment: Environment, flag_key: str, conditions: Any, since: datetime) -> Audience:
    """Evaluate the conditions for the flag's users since then whose exposures carry the attributes they ask for.

    Nothing is known of an archived flag's users, nor of conditions on ids where pseudonyms are stored.
    """
    current = compiled_at(environment, environment.config_version)
    compiled = current.flags.get(flag_key)
    if compiled is None or (environment.stores_pseudonyms and _asks_ids(current, compiled.bucket_by, conditions)):
        return Audience(frozenset(), 0)
    flag = compiled.document
    variant = flag["variants"][0]["key"]
    rule = {"id": _RULE, "priority": 1, "name": "", "conditions": conditions, "variant": variant, "rollout": None}
    alone = {"rules": [rule], "experiment": None, "targets": [], "prerequisites": [], "killSwitchVariant": None}
    asking = current.replace(current.version, flags={flag_key: {**flag, **alone, "enabled": True}})
    if not asking.flags[flag_key].is_understood:
        return Audience(frozenset(), 0)
    asked = attributes_asked(asking, flag_key)
    if asked:
        found = analytics.recent_attributes(environment.pk, flag_key, since, most_exposures=MOST_EXPOSURES_READ)
        carried = {unit: attributes for unit, attributes in found.items() if asked <= attributes.keys()}
    else:
        recent = analytics.recent_units(environment.pk, flag_key, since, limit=MOST_USERS_EXAMINED)
        carried = {unit: {} for unit, _ in recent}
    context_of = context_maker(asking, flag_key)
    matched = (
        unit
        for unit, attributes in carried.items()
        if asking.evaluate(flag_key, context_of(unit, attributes)).rule_id == _RULE
    )
    return Audience(frozenset(matched), len(carried))


def _asks_ids(compiled: CompiledEnvironment, bucket_by: str | Sequence[str], conditions: Any) -> bool:
    """Whether the conditions, or segments that they ask for, go by the user's id or by the flag's unit."""
    ids = {"userId", *unit_names(bucket_by)}
    trees, segments = [conditions], segments_in(conditions)
    for name in segments:
        document = compiled.segments[name].document if name in compiled.segments else None
        if document is None:
            continue
        if document["included"] or document["excluded"]:
            return True
        trees.append(document["conditions"])
        segments += [other for other in segments_in(document["conditions"]) if other not in segments]
    return any(node.get("attribute") in ids for node in conditions_in(trees))
