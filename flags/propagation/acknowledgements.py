"""Who has applied which version: reported by clients and by our own processes, kept in Redis for the kill status.

Reports are collected for a moment and written together, so that a thousand clients acknowledging one change cost one
write. They are information, not configuration: where Redis is away they are dropped.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import orjson
import structlog
from django.conf import settings
from openflagship.wire.acknowledgements import Acknowledgement, Understanding
from openflagship.wire.errors import RefusedError
from redis.exceptions import RedisError, ResponseError

from flags.propagation.publishing import client, kill_versions_key
from tenancy.process_memory import on_reset

log = structlog.get_logger(__name__)

# What our own processes call themselves, where clients name their SDK.
OWN_SDK = "flagship"
MOST_SERVICES = 20_000
MOST_REPORTS_WAITING = 50_000
# Redis does nothing else while it takes some: so many take it 5 ms, and a kill need not wait for all.
_WRITTEN_TOGETHER = 500
# A client on a stream is seen with each keep-alive (15 s), a process of ours with each poll (at least every 30 s).
GONE_AFTER_MS = 60_000
_KEEP_SECONDS = 7 * 86_400
_MOST_AHEAD_MS = 60_000


class Report(NamedTuple):
    """What one service has applied; `version` -1 says only that it is connected. `at` is Unix milliseconds.

    `understanding` None says nothing of that: what was said before stays. `ending` is empty, or how it left: it said
    goodbye, or its stream ended.
    """

    instance: str
    sdk: str
    version: int
    at: int
    understanding: Understanding | None = None
    ending: str = ""


# Members of a service's state: when it said goodbye, and when its stream ended.
GOODBYE = "goodbyeAt"
STREAM_ENDED = "streamEndedAt"


def has_left(state: Mapping[str, Any], now: int) -> bool:
    """Whether a service that Redis has a state of said goodbye, or ended its stream and did not come back."""
    seen_at = state["seenAt"]
    if state.get(GOODBYE, -1) >= seen_at:
        return True
    ended_at = state.get(STREAM_ENDED, -1)
    return bool(ended_at >= seen_at and now - ended_at > GONE_AFTER_MS)


def is_connected(state: Mapping[str, Any], now: int) -> bool:
    """Whether a service that Redis has a state of was heard of lately."""
    return bool(now - state["seenAt"] <= GONE_AFTER_MS) and not has_left(state, now)


def services_key(environment_id: int) -> str:
    """A hash: instance to JSON `{sdk, version, seenAt, understanding, goodbyeAt?, streamEndedAt?}`.

    `understanding` is JSON in a text, or empty.
    """
    return f"{settings.REDIS_PREFIX}:services:{environment_id}"


def applied_key(environment_id: int, version: int) -> str:
    """A hash: instance to the Unix milliseconds at which it had applied the kill of that version."""
    return f"{settings.REDIS_PREFIX}:applied:{environment_id}:{version}"


# A kill is credited to whoever was known to be behind it and now is not: a service that connects afterwards has it from
# the start, and would only spoil the timing.
#
# A clock that is far ahead would make its service look alive for as long; there Redis's own clock counts.
_RECORD = """
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local known = redis.call('HLEN', KEYS[1])
for _, report in ipairs(cjson.decode(ARGV[5])) do
  local instance, sdk, version, at, understanding, ending = unpack(report)
  if at > now_ms + tonumber(ARGV[4]) then at = now_ms end
  local before = redis.call('HGET', KEYS[1], instance)
  if ending ~= '' then
    if before then
      local left = cjson.decode(before)
      left[ending] = at
      redis.call('HSET', KEYS[1], instance, cjson.encode(left))
    end
  elseif before or known < tonumber(ARGV[1]) then
    local had = -1
    local goodbye_at, stream_ended_at
    if before then
      local old = cjson.decode(before)
      had = old.version
      if sdk == '' then sdk = old.sdk end
      if understanding == '' then understanding = old.understanding or '' end
      goodbye_at, stream_ended_at = old.goodbyeAt, old.streamEndedAt
    else
      known = known + 1
    end
    if had >= 0 and version > had then
      for _, kill in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. had, version)) do
        local applied = ARGV[2] .. kill
        local is_new = redis.call('HSETNX', applied, instance, string.format('%.0f', at))
        if is_new == 1 then redis.call('EXPIRE', applied, ARGV[3]) end
      end
    end
    local now = { sdk = sdk, version = math.max(had, version), seenAt = at, understanding = understanding,
      goodbyeAt = goodbye_at, streamEndedAt = stream_ended_at }
    redis.call('HSET', KEYS[1], instance, cjson.encode(now))
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return known
"""


def record(environment_id: int, reports: list[Report]) -> None:
    """Write the reports of one environment. Raises RedisError."""
    # Packed as one argument: redis-py takes longer to write six of each report than Redis to read them.
    packed = orjson.dumps(
        [(instance, sdk, version, at, _text_of(said), ending) for instance, sdk, version, at, said, ending in reports]
    )
    keys = services_key(environment_id), kill_versions_key(environment_id)
    known = MOST_SERVICES, applied_key(environment_id, 0)[:-1], _KEEP_SECONDS, _MOST_AHEAD_MS
    client().eval(_RECORD, 2, *keys, *known, packed)


def _text_of(said: Understanding | None) -> str:
    return "" if said is None else json.dumps(said.members, ensure_ascii=False)


def now_ms() -> int:
    """The time by Redis's clock, by which all processes judge who is silent. Raises RedisError."""
    seconds, microseconds = client().time()
    return seconds * 1000 + microseconds // 1000


def forget(environment_ids: Iterable[int], instances: Iterable[str]) -> None:
    """Take processes of ours that have ended off the board. Raises RedisError."""
    names = list(instances)
    for environment_id in environment_ids:
        if names:
            client().hdel(services_key(environment_id), *names)


def dead_neighbours(environment_id: int, host: str) -> list[str]:
    """The silent instances of this host whose process is gone: killed ones, which took no leave. Raises RedisError.

    Containers may share a host's name but no process ids, so one that reports lives, whatever its id means here.
    """
    key = services_key(environment_id)
    names = cast("list[bytes]", client().hkeys(key))
    gone = [instance for instance in map(bytes.decode, names) if _is_gone(instance, host)]
    if not gone:
        return []
    states = cast("list[bytes | None]", client().hmget(key, gone))
    silent_since = now_ms() - GONE_AFTER_MS
    return [
        instance
        for instance, state in zip(gone, states, strict=True)
        if state is not None and orjson.loads(state)["seenAt"] < silent_since
    ]


def _is_gone(instance: str, host: str) -> bool:
    process, _, pid = instance.rpartition(":")
    return process.endswith(f"@{host}") and pid.isdigit() and not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class Acknowledgements:
    """Collects reports from any thread, up to a bound, until `flush` writes them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # What waits of each environment: the reports in their order, and the last one of each instance.
        self._waiting: dict[int, tuple[list[Report], dict[str, Report]]] = {}
        self._lock = threading.Lock()

    def add(
        self,
        environment_id: int | None,
        instance: str,
        sdk: str,
        version: int = -1,
        understanding: Understanding | None = None,
        *,
        ending: str = "",
    ) -> None:
        """A report that says what the last one of its instance says, and which still waits, adds nothing to it."""
        if environment_id is None:
            return
        report = Report(instance, sdk, version, time.time_ns() // 1_000_000, understanding, ending)
        with self._lock:
            reports, last = self._waiting.get(environment_id) or self._waiting.setdefault(environment_id, ([], {}))
            before = last.get(instance)
            if before is not None and before._replace(at=report.at) == report:
                return
            if len(reports) < MOST_REPORTS_WAITING:
                last[instance] = report
                reports.append(report)

    def take(self, environment_id: int | None, said: Acknowledgement) -> None:
        """Note what a service has said."""
        if said.is_goodbye:
            self.add(environment_id, said.instance, said.sdk, ending=GOODBYE)
        else:
            self.add(environment_id, said.instance, said.sdk, said.version, said.understanding)

    def flush(self) -> None:
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for environment_id, (found, _) in waiting.items():
            for first in range(0, len(found), _WRITTEN_TOGETHER):
                try:
                    _record_each(environment_id, found[first : first + _WRITTEN_TOGETHER])
                except RedisError as error:
                    log.debug("acknowledgements_dropped", count=len(found) - first, error=type(error).__name__)
                    break


def _record_each(environment_id: int, reports: list[Report]) -> None:
    """Write the reports together; where Redis refuses one of them, each alone, so that no other is lost with it."""
    try:
        record(environment_id, reports)
    except ResponseError as error:
        if len(reports) == 1:
            log.warning("acknowledgement_refused", instance=reports[0].instance[:100], error=str(error))
            return
        for report in reports:
            _record_each(environment_id, [report])


def future_version(known: int) -> RefusedError:
    """The refusal of an acknowledgement of a version that does not exist yet."""
    detail = f"This environment is at version {known}; acknowledge the version that you have applied."
    return RefusedError(400, "", ("version", "out_of_range", detail))


ACKNOWLEDGEMENTS = Acknowledgements()
on_reset(ACKNOWLEDGEMENTS.reset)
