"""Which events come from machines: flagged as they are stored, left out of every analysis, counted."""

from functools import cache, lru_cache

import re2
from django.conf import settings


@cache
def _compiled(pattern: str) -> "re2._Regexp":
    # RE2: a pattern of an administrator's must not be able to stop the ingest by backtracking.
    return re2.compile(f"(?i){pattern}")


@lru_cache(maxsize=100_000)
def is_bot(unit_id: str, user_agent: str | None) -> bool:
    if settings.BOT_USER_IDS and _compiled(settings.BOT_USER_IDS).search(unit_id):
        return True
    return bool(user_agent and settings.BOT_USER_AGENTS and _compiled(settings.BOT_USER_AGENTS).search(user_agent))
