"""Publishing the steps of the version log on Redis pub/sub, each with its document, in the order of the log.

A script in Redis keeps a watermark for each environment: a step is published once, and only after the step before it.
So two writers that publish in the wrong order are still heard in the order of their commits. What a crashed writer left
unpublished is published with the next step, or by the sweep.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import cast

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError
from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import RedisError
from redis.retry import Retry

from flags.models import Change
from flags.versions.steps import Step, steps_of
from tenancy.models import Environment

log = structlog.get_logger(__name__)
CHANNEL = f"{settings.REDIS_PREFIX}:changes"
PUBLISHED = f"{settings.REDIS_PREFIX}:published"
KILLS = f"{settings.REDIS_PREFIX}:kills"
# The only message on the channel that is not a step: a credential or a signing key has changed.
KEYRING_CHANGED = "keyring"
CONFIRMED_FIELD = "@confirmed"
# With more steps than this, a process is faster when it fetches all of them from PostgreSQL.
MOST_STEPS_PUBLISHED_AT_ONCE = 500
_STEPS_SENT_AT_ONCE = 100
# Redis keeps STREAM_CATCH_UP_STEPS of an environment's latest steps, within this size.
MOST_BYTES_OF_RECENT_STEPS = 4 * 1024 * 1024


def cold_start_copy_key(environment_id: int) -> str:
    """The hash in which Redis holds a copy of an environment (`flags.propagation.cold_start_copy`)."""
    return f"{settings.REDIS_PREFIX}:environment:{environment_id}"


def recent_steps_key(environment_id: int) -> str:
    """The list of the environment's latest steps without a gap, each as `version running-size message`."""
    return f"{settings.REDIS_PREFIX}:steps:{environment_id}"


def kill_versions_key(environment_id: int) -> str:
    """The sorted set of the versions of the environment's latest kills and releases."""
    return f"{settings.REDIS_PREFIX}:kill-versions:{environment_id}"


# The script returns the version that was published last. That is the step's own version or a later one when the step is
# out, and an earlier one when steps before it are still missing. A kill is noted for cold starts in any case. The
# cold-start copy takes a step that follows on the version it has. The latest steps stay in a list, for processes that
# were not listening and cannot ask PostgreSQL. Each carries the sum of the sizes up to it, so that the size of the
# whole list is known from its two ends.
_PUBLISH = """
local environment, version, field = ARGV[2], tonumber(ARGV[3]), ARGV[4]
if ARGV[7] == '1' then
  local noted = redis.call('HGET', KEYS[3], environment .. ':' .. field)
  if not noted or tonumber(string.match(noted, '^%d+')) < version then
    redis.call('HSET', KEYS[3], environment .. ':' .. field, ARGV[3] .. ' ' .. ARGV[5])
  end
  redis.call('ZADD', KEYS[4], version, ARGV[3])
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -101)
end
local last = tonumber(redis.call('HGET', KEYS[1], environment) or version - 1)
if version ~= last + 1 then return last end
redis.call('PUBLISH', ARGV[1], ARGV[6])
redis.call('HSET', KEYS[1], environment, version)
local copied = redis.call('HGET', KEYS[2], '@version')
if copied and tonumber(copied) == last then
  if ARGV[5] == 'null' then redis.call('HDEL', KEYS[2], field) else redis.call('HSET', KEYS[2], field, ARGV[5]) end
  redis.call('HSET', KEYS[2], '@version', version)
end
local newest, sum = redis.call('LINDEX', KEYS[5], -1), 0
if newest then
  local number, total = string.match(newest, '^(%d+) (%d+) ')
  if tonumber(number) == last then sum = tonumber(total) else redis.call('DEL', KEYS[5]) end
end
sum = sum + #ARGV[6]
local count = redis.call('RPUSH', KEYS[5], string.format('%s %.0f %s', ARGV[3], sum, ARGV[6]))
local oldest = redis.call('LINDEX', KEYS[5], 0)
while oldest do
  local total = tonumber(string.match(oldest, '^%d+ (%d+) '))
  if count <= tonumber(ARGV[8]) and sum - total + #oldest <= tonumber(ARGV[9]) then break end
  redis.call('LPOP', KEYS[5])
  count, oldest = count - 1, redis.call('LINDEX', KEYS[5], 0)
end
return version
"""


def client() -> Redis:
    """A client with short timeouts: the change is committed, and polling brings what is not published."""
    return _client(settings.REDIS_URL)


def read_hash(key: str) -> dict[bytes, bytes]:
    """Return a whole hash. Raises RedisError."""
    # The library's types allow for decoding clients. This client decodes nothing.
    return cast("dict[bytes, bytes]", client().hgetall(key))


@cache
def _client(url: str) -> Redis:
    timeout = min(1.0, settings.REDIS_TIMEOUT_SECONDS)
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1))


@cache
def _script(url: str) -> Script:
    return _client(url).register_script(_PUBLISH)


def publish_changes(changes: Iterable[Change]) -> None:
    """Publish committed changes, which are consecutive steps of one environment, and unpublished steps before them.

    It does not raise when a server is away.
    """
    for steps in _batches(steps_of(changes)):
        try:
            last = _publish(steps)
            if last < steps[-1].version:
                _publish_since(steps[-1].environment_id, last, upto=steps[-1].version, fallback=steps)
        except RedisError as error:
            # The next batch would fail too. The sweep publishes all of it later.
            log.warning("publish_failed", kind=steps[-1].kind, version=steps[0].version, error=type(error).__name__)
            return


def publish_keyring() -> None:
    """Tell every process that a credential or a signing key has changed."""
    try:
        client().publish(CHANNEL, orjson.dumps({"kind": KEYRING_CHANGED}))
    except RedisError as error:
        log.warning("publish_failed", kind="keyring", error=type(error).__name__)


def sweep(versions: Mapping[int, int]) -> None:
    """Publish steps that were committed and not published. `versions` are the database's, by environment id.

    Any process may call this at any time: because of the watermark each step is published once.
    """
    published = {name.decode(): value for name, value in read_hash(PUBLISHED).items()}
    for environment_id, version in versions.items():
        last = int(published.get(str(environment_id), version - 1))
        if last > version and _database_is_behind(environment_id, last):
            log.warning("sweep_resets_watermark", environment=environment_id, published=last, version=version)
            client().hset(PUBLISHED, str(environment_id), version)
            client().delete(cold_start_copy_key(environment_id), recent_steps_key(environment_id))
            _forget_kills(environment_id)
        if version > 0 and last < version:
            log.info("sweep_publishes", environment=environment_id, since=last, upto=version)
            _publish_since(environment_id, last, upto=version)
    client().hset(PUBLISHED, CONFIRMED_FIELD, str(time.time()))


def _database_is_behind(environment_id: int, published: int) -> bool:
    """Whether published steps are missing from the database, because it was restored from a backup.

    This is asked after the watermark was read. So a change that was published meanwhile is not mistaken for that.
    """
    row = Environment.objects.filter(pk=environment_id).values_list("config_version", flat=True).first()
    return row is not None and row < published


def _forget_kills(environment_id: int) -> None:
    prefix = f"{environment_id}:".encode()
    noted = [field for field in read_hash(KILLS) if field.startswith(prefix)]
    if noted:
        client().hdel(KILLS, *noted)
    client().delete(kill_versions_key(environment_id))


def _publish_since(environment_id: int, last: int, *, upto: int, fallback: Sequence[Step] = ()) -> None:
    try:
        missing = _steps_between(environment_id, max(last, upto - MOST_STEPS_PUBLISHED_AT_ONCE), upto)
    except DatabaseError:
        if not fallback:
            raise
        # Publish without the missing steps: a kill is obeyed at once, and for other steps the processes notice the gap.
        for step in fallback:
            client().publish(CHANNEL, step.message())
        return
    if upto - last > MOST_STEPS_PUBLISHED_AT_ONCE:
        # The processes notice the gap and fetch the rest from the version log.
        client().hset(PUBLISHED, str(environment_id), missing[0].version - 1)
    for steps in _batches(missing):
        _publish(steps)


def _steps_between(environment_id: int, after: int, upto: int) -> list[Step]:
    changes = Change.objects.filter(environment_id=environment_id, version__gt=after, version__lte=upto)
    return steps_of(changes.order_by("version"))


def _batches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    for start in range(0, len(steps), _STEPS_SENT_AT_ONCE):
        yield steps[start : start + _STEPS_SENT_AT_ONCE]


def _publish(steps: Sequence[Step]) -> int:
    """Send the steps in one round trip and return the version that was published last."""
    pipeline = client().pipeline(transaction=False)
    for step in steps:
        _script(settings.REDIS_URL)(
            keys=[
                PUBLISHED,
                cold_start_copy_key(step.environment_id),
                KILLS,
                kill_versions_key(step.environment_id),
                recent_steps_key(step.environment_id),
            ],
            args=[
                CHANNEL,
                step.environment_id,
                step.version,
                f"{step.entity}:{step.key}",
                orjson.dumps(step.document),
                step.message(),
                "1" if step.is_kill else "0",
                settings.STREAM_CATCH_UP_STEPS,
                MOST_BYTES_OF_RECENT_STEPS,
            ],
            client=pipeline,
        )
    return int(pipeline.execute()[-1])
