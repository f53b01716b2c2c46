"""The impact of a change that is not saved: on all units by arithmetic, on last week's users one by one."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone
from openflagship.engine import CompiledEnvironment, Context, impact, unit_text
from openflagship.engine.impact import EVERYONE
from openflagship.wire.acknowledgements import features_used
from redis.exceptions import RedisError

from analytics import selectors as analytics
from flags.documents import unit_names
from flags.evaluation.compiled import before_and_after, compiled_at
from flags.models import FlagConfig, Segment
from flags.propagation.service_features import outdated_services
from flags.selectors import conditions_in, segments_in
from flags.signals import flag_change_asked, segment_change_asked
from tenancy.callers.statements import long_statements
from tenancy.models import Environment

RECENT_DAYS = 7
# At most so many users are evaluated again, the latest first.
MOST_USERS_EXAMINED = 20_000
# At most so many of the latest exposures are searched for the attributes of these users.
MOST_EXPOSURES_READ = 300_000
# How a running experiment relates to a change of its own flag.
ON_FLAG = "on this flag"


@long_statements()
def impact_of(environment: Environment, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return whom a PATCH with this payload would give another variant. Raises what the PATCH raises."""
    current, changed = before_and_after(environment, key, payload)
    found = impact(current, changed, key=key)
    asked = set() if found.basis == EVERYONE else attributes_asked(current, key) | attributes_asked(changed, key)
    return {
        "flagKey": key,
        "configVersion": environment.config_version,
        **found.to_dict(),
        "recentlyExposed": _recently_exposed(environment, key, (current, changed), asked),
        "experiments": experiments_touched(environment, [key]),
        "beginsPhase": phases_begun_by(environment, current.flags[key].document, changed.flags[key].document),
        "notUnderstoodBy": not_understood_by(environment, changed.flags[key].document),
    }


@long_statements()
def affected_users(environment: Environment, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Count last week's users of a flag under two of its documents, one by one, as an impact does."""
    key = str(after["key"])
    needed = [item["flagKey"] for document in (before, after) for item in document["prerequisites"]]
    stored = compiled_at(environment, environment.config_version, [key, *needed])
    pair = stored.replace(stored.version, flags={key: before}), stored.replace(stored.version, flags={key: after})
    return _recently_exposed(environment, key, pair, attributes_asked(pair[0], key) | attributes_asked(pair[1], key))


def revalued(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Name the variants that both documents have, with another value: whoever keeps one gets something else."""
    old, new = (
        {item["key"]: json.dumps(item["value"], sort_keys=True) for item in document["variants"]}
        for document in (before, after)
    )
    return {key for key, value in new.items() if key in old and old[key] != value}


def not_understood_by(environment: Environment, document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the connected services that are too old for a flag's document; None while Redis is away."""
    try:
        found = outdated_services(environment.pk, features_used(document))
    except RedisError:
        return None
    return [
        {"sdk": one.sdk, "version": one.version, "instances": one.instances, "features": list(one.features)}
        for one in found
    ]


def _recently_exposed(
    environment: Environment,
    key: str,
    before_and_after: tuple[CompiledEnvironment, CompiledEnvironment],
    asked: set[str],
) -> dict[str, Any]:
    """Evaluate last week's users under both configurations, with the attributes of their exposures.

    If an attribute that decides is unknown, a user counts by the known ones when these give the variant that the user
    last saw, and else as undetermined. A user whose variant has another value is changed too.
    """
    before, after = before_and_after
    since = timezone.now() - timedelta(days=RECENT_DAYS)
    users = sum(figures.users for figures in analytics.flag_exposures(environment.pk, key, since, None).values())
    body: dict[str, Any] = {"days": RECENT_DAYS, "users": users, "examined": 0, "known": 0}
    body |= {"changed": None, "undetermined": None}
    if environment.stores_pseudonyms:
        return {**body, "caveat": "User ids are stored as pseudonyms here, so nobody's bucket can be told."}
    context_of = context_maker(before, key)
    other_values = revalued(before.flags[key].document, after.flags[key].document)
    carried: dict[str, dict[str, Any]] = {}
    if asked:
        carried = analytics.recent_attributes(environment.pk, key, since, most_exposures=MOST_EXPOSURES_READ)
    examined = known = changed = undetermined = 0
    moves: dict[tuple[str | None, str | None], int] = {}
    for unit, seen in analytics.recent_units(environment.pk, key, since, limit=MOST_USERS_EXAMINED):
        attributes = carried.get(unit, {})
        context = context_of(unit, attributes)
        old, new = before.evaluate(key, context).variant, after.evaluate(key, context).variant
        is_known = asked <= attributes.keys()
        examined += 1
        known += is_known
        if not is_known and old != seen:
            undetermined += 1
        elif old != new or old in other_values:
            changed += 1
            moves[old, new] = moves.get((old, new), 0) + 1
    is_sample = MOST_USERS_EXAMINED <= examined < users
    return {
        **body,
        # The hourly counts count a user once for each variant. The examined users are counted once.
        "users": users if is_sample else examined,
        "examined": examined,
        "known": known,
        "changed": changed,
        "undetermined": undetermined,
        "moves": [{"from": old, "to": new, "users": count} for (old, new), count in sorted(moves.items(), key=str)],
        "caveat": f"Only the latest {examined:,} of these users were examined." if is_sample else None,
    }


def attributes_asked(compiled: CompiledEnvironment, key: str) -> set[str]:
    """Name the attributes that may decide the flag, its prerequisites and its segments, except the user's id.

    The attribute that the flag buckets by is not among them, because an exposure has the unit.
    """
    found: set[str] = set()
    flags, segments = [key], list[str]()
    for name in flags:
        if name not in compiled.flags:
            continue
        document = compiled.flags[name].document
        trees = [rule["conditions"] for rule in document["rules"]]
        trees.append((document["experiment"] or {}).get("audience"))
        found |= {str(node.get("attribute")) for node in conditions_in(trees) if "attribute" in node}
        found |= set(unit_names(document["bucketBy"])) if name != key else set()
        segments += segments_in(trees)
        flags += [item["flagKey"] for item in document["prerequisites"] if item["flagKey"] not in flags]
    for name in segments:
        tree = compiled.segments[name].document["conditions"] if name in compiled.segments else None
        found |= {str(node.get("attribute")) for node in conditions_in(tree) if "attribute" in node}
        segments += [other for other in segments_in(tree) if other not in segments]
    return found - {"userId"}


def context_maker(compiled: CompiledEnvironment, key: str) -> Callable[[str, Mapping[str, Any]], Context]:
    bucket_by = compiled.flags[key].bucket_by
    if bucket_by == "userId":
        return Context
    names = unit_names(bucket_by)

    def context(unit: str, attributes: Mapping[str, Any]) -> Context:
        others = {name: value for name, value in attributes.items() if name not in names}
        name = _name_of(unit, names, attributes)
        return Context(unit, others) if name == "userId" else Context(None, {**others, name: unit})

    return context


def _name_of(unit: str, names: Sequence[str], attributes: Mapping[str, Any]) -> str:
    """Which of a flag's names the unit of an exposure came from: the one that has it, else the user's id."""
    found = next((name for name in names if unit_text(attributes.get(name)) == unit), None)
    return found or ("userId" if "userId" in names else names[0])


def phases_begun_by(environment: Environment, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Any]:
    """The running experiments that the change would begin a phase of."""
    answers = flag_change_asked.send(sender=FlagConfig, environment=environment, before=before, after=after)
    return [item for _, answer in answers for item in answer or ()]


def phases_begun_by_segment(environment: Environment, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Any]:
    """The running experiments that the change of a segment (API resources) would begin a phase of."""
    answers = segment_change_asked.send(sender=Segment, environment=environment, before=before, after=after)
    return [item for _, answer in answers for item in answer or ()]


def experiments_touched(environment: Environment, keys: Collection[str]) -> list[dict[str, Any]]:
    """The running experiments that a change of these flags touches: on one, or on a flag that needs one."""
    rows = FlagConfig.objects.filter(environment=environment, experiment__isnull=False, flag__is_archived=False)
    found = []
    for row in rows.select_related("flag").order_by("flag__key"):
        is_own = row.flag.key in keys
        if is_own or any(item["flagKey"] in keys for item in row.prerequisites):
            found.append(
                {
                    "id": (row.experiment or {})["id"],
                    "flagKey": row.flag.key,
                    "relation": ON_FLAG if is_own else "has it as a prerequisite",
                }
            )
    return found
