"""What a change would do before it is made: to everybody by arithmetic, to last week's users one by one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone
from openflagship.engine import Context, impact
from openflagship.engine import Environment as Compiled

from analytics import selectors as analytics
from analytics.models import EventPolicy
from flags.models import FlagConfig
from flags.preview import before_and_after
from tenancy.models import Environment

RECENT_DAYS = 7
# So many users are evaluated anew, the latest first; it takes about a second.
MOST_USERS_EXAMINED = 50_000


def impact_of(environment: Environment, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the flag changed as a PATCH would change it does to whom. Raises as that would."""
    current, changed = before_and_after(environment, key, payload)
    found = impact(current, changed, key=key)
    return {
        "flagKey": key,
        "configVersion": environment.config_version,
        **found.to_dict(),
        "recentlyExposed": _recently_exposed(environment, key, current, changed),
        "experiments": _experiments(environment, key),
    }


def _recently_exposed(environment: Environment, key: str, before: Compiled, after: Compiled) -> dict[str, Any]:
    """Evaluate last week's users under both configurations.

    Exposures do not keep attributes, so a user counts as undetermined where the variant last seen is not the one that
    evaluation without attributes gives, and attributes play a part.
    """
    since = timezone.now() - timedelta(days=RECENT_DAYS)
    users = sum(figures.users for figures in analytics.flag_exposures(environment.pk, key, since, None).values())
    body: dict[str, Any] = {"days": RECENT_DAYS, "users": users, "examined": 0, "changed": None, "undetermined": None}
    if EventPolicy.objects.filter(environment=environment, pseudonym_key__isnull=False).exists():
        return {**body, "caveat": "User ids are stored as pseudonyms here, so nobody's bucket can be told."}
    unit_of = _context_of(before, key)
    ignores_attributes = impact(before, after, key=key).basis == "everyone"
    examined = changed = undetermined = 0
    moves: dict[tuple[str | None, str | None], int] = {}
    for unit, seen in analytics.recent_units(environment.pk, key, since, limit=MOST_USERS_EXAMINED):
        examined += 1
        context = unit_of(unit)
        old, new = before.evaluate(key, context).variant, after.evaluate(key, context).variant
        if not ignores_attributes and old != seen:
            undetermined += 1
        elif old != new:
            changed += 1
            moves[old, new] = moves.get((old, new), 0) + 1
    return {
        **body,
        "examined": examined,
        "changed": changed,
        "undetermined": undetermined,
        "moves": [{"from": old, "to": new, "users": count} for (old, new), count in sorted(moves.items(), key=str)],
        "caveat": None,
    }


def _context_of(compiled: Compiled, key: str) -> Any:
    bucket_by = compiled.flags[key].bucket_by
    if bucket_by == "userId":
        return Context
    return lambda unit: Context(None, {bucket_by: unit})


def _experiments(environment: Environment, key: str) -> list[dict[str, Any]]:
    """Running experiments that the change touches: on the flag itself, or on one that has it as a prerequisite."""
    rows = FlagConfig.objects.filter(environment=environment, experiment__isnull=False, flag__is_archived=False)
    found = []
    for row in rows.select_related("flag").order_by("flag__key"):
        is_own = row.flag.key == key
        if is_own or any(item["flagKey"] == key for item in row.prerequisites):
            found.append(
                {
                    "id": (row.experiment or {})["id"],
                    "flagKey": row.flag.key,
                    "relation": "on this flag" if is_own else "has it as a prerequisite",
                }
            )
    return found
