"""The services that are connected to an environment, the versions they run, and how fast kills reach them."""

from dataclasses import dataclass

import orjson

from flags.models import Change
from flags.propagation.acknowledgements import applied_key, is_connected, now_ms, services_key
from flags.propagation.kill_status import percentile
from flags.propagation.publishing import read_hash
from flags.propagation.service_features import understanding_said
from tenancy.models import Environment

_KILLS_LOOKED_AT = 20
_WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Reach:
    """The services seen in the last minute. `p99_ms` covers the last kills' acknowledgements; None without any."""

    connected: int
    current: int
    p99_ms: int | None
    acknowledgements: int
    last_kill: str
    # Of those connected, how many do not understand some flag or segment, and which.
    puzzled: int
    not_understood: tuple[str, ...]


def reach_of(environment: Environment) -> Reach:
    """Read the reach with one query and at most 21 hashes. Raises RedisError."""
    now = now_ms()
    states = [orjson.loads(content) for content in read_hash(services_key(environment.pk)).values()]
    here = [state for state in states if is_connected(state, now)]
    kills = list(
        Change.objects.filter(
            environment=environment, entity=Change.Entity.FLAG, kind=Change.Kind.KILL_SWITCH
        ).order_by("-version")[:_KILLS_LOOKED_AT]
    )
    took = []
    for kill in kills:
        at = int(kill.created_at.timestamp() * 1000)
        # Redis stores acknowledgements for a week.
        if now - at <= _WEEK_MS:
            took += [
                max(0, int(applied) - at) for applied in read_hash(applied_key(environment.pk, kill.version)).values()
            ]
    said = [found for state in here if (found := understanding_said(state)) is not None and found.total]
    return Reach(
        connected=len(here),
        current=sum(state["version"] >= environment.config_version for state in here),
        p99_ms=percentile(sorted(took), 99),
        acknowledgements=len(took),
        last_kill=kills[0].key if kills else "",
        puzzled=len(said),
        not_understood=tuple(sorted({key for found in said for key in (*found.flags, *found.segments)})),
    )
