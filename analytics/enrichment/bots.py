"""Finds events of bots. They are flagged when stored, counted, and left out of every analysis."""

from collections.abc import Callable, Sequence
from functools import cache

import re2
from django.conf import settings

# Below this many texts, searching each is cheaper than halving again.
_FEW = 8


def flag_bots(unit_ids: Sequence[str], user_agents: Sequence[str | None]) -> list[bool]:
    """Return for each event whether its unit or its user agent is a bot's; `user_agents` is as long, or empty."""
    flags = [False] * len(unit_ids)
    _mark(_matcher(settings.BOT_USER_IDS), unit_ids, flags, 0, len(unit_ids))
    _mark(_matcher(settings.BOT_USER_AGENTS), [agent or "" for agent in user_agents], flags, 0, len(user_agents))
    return flags


def _mark(matches: Callable[[str], bool] | None, texts: Sequence[str], flags: list[bool], start: int, end: int) -> None:
    """Search many texts at once, one a line, and search the halves only where something matches.

    A call of RE2 costs far more than its search. So a batch without bots costs one call.
    """
    if matches is None or start == end:
        return
    if end - start <= _FEW:
        for index in range(start, end):
            flags[index] = flags[index] or matches(texts[index])
    elif matches("\n".join(texts[start:end])):
        middle = (start + end) // 2
        _mark(matches, texts, flags, start, middle)
        _mark(matches, texts, flags, middle, end)


@cache
def _matcher(pattern: str) -> Callable[[str], bool] | None:
    if not pattern:
        return None
    # RE2, because an administrator's pattern must not stop the ingest by backtracking.
    expression = re2.compile(f"(?im){pattern}")
    return lambda text: expression.search(text) is not None
