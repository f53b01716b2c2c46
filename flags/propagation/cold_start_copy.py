"""A copy of every environment and credential in Redis, for processes that start while PostgreSQL is away.

The script that publishes a step also puts it into the copy. The sweep writes a copy that is missing or behind. Kills
are noted separately, so that a cold start obeys them even if the copy is behind.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from django.conf import settings
from openflagship.engine import CompiledEnvironment

from flags.documents import CONTRACT_VERSION
from flags.models import Change
from flags.propagation.publishing import (
    CONFIRMED_FIELD,
    KILLS,
    PUBLISHED,
    client,
    cold_start_copy_key,
    read_hash,
    recent_steps_key,
)
from flags.propagation.signing import SIGNING
from flags.versions.steps import Step
from tenancy.authentication.keyring import KEYRING

_KEYRING = f"{settings.REDIS_PREFIX}:keyring"
_LOCK_SECONDS = 30
_KILL_NOTE = re.compile(rb"(\d+) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ColdStartCopy:
    """What Redis has: documents by environment, and how many seconds ago the database last confirmed them."""

    documents: dict[int, dict[str, Any]]
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Missed:
    """What a process lacks and Redis has: the steps after its version, or else whole documents, and kills."""

    steps: dict[int, list[Step]]
    documents: dict[int, dict[str, Any]]
    kills: list[Step]


def keep_up(environments: Mapping[int, CompiledEnvironment]) -> None:
    """Write the copies that are missing or behind. Only one process does it at a time. Raises RedisError."""
    redis = client()
    pipeline = redis.pipeline(transaction=False)
    for environment_id in environments:
        pipeline.hget(cold_start_copy_key(environment_id), "@version")
    for (environment_id, environment), copied in zip(environments.items(), pipeline.execute(), strict=True):
        if copied is None or int(copied) < environment.version:
            lock = f"{cold_start_copy_key(environment_id)}:lock"
            if redis.set(lock, "1", nx=True, ex=_LOCK_SECONDS):
                _write(environment_id, environment)
                redis.delete(lock)
    if int(redis.hget(_KEYRING, "revision") or -1) != KEYRING.revision:
        signing, keys = orjson.dumps(SIGNING.dump()), orjson.dumps(KEYRING.dump())
        redis.hset(_KEYRING, mapping={"revision": KEYRING.revision, "keys": keys, "signing": signing})


def _write(environment_id: int, environment: CompiledEnvironment) -> None:
    """Write the new copy under another key and rename it, so that a reader never sees half of it."""
    fields: dict[Any, Any] = {"@version": environment.version, "@environment": orjson.dumps(environment.header)}
    fields |= {f"flag:{key}": flag.text for key, flag in environment.flags.items()}
    fields |= {f"segment:{key}": segment.text for key, segment in environment.segments.items()}
    key = cold_start_copy_key(environment_id)
    with client().pipeline(transaction=True) as pipeline:
        pipeline.delete(f"{key}:new")
        pipeline.hset(f"{key}:new", mapping=fields)
        pipeline.rename(f"{key}:new", key)
        pipeline.execute()


def load() -> ColdStartCopy:
    """Read everything from Redis and restore the keyring. Raises RedisError, or ValueError for damaged data."""
    published = {name.decode(): value for name, value in read_hash(PUBLISHED).items()}
    confirmed = float(published.pop(CONFIRMED_FIELD, 0))
    kills = read_hash(KILLS)
    documents = {}
    for name in published:
        fields = read_hash(cold_start_copy_key(int(name)))
        if fields:
            documents[int(name)] = _document(fields, _kills_of(name, kills))
    keys = read_hash(_KEYRING)
    if keys and KEYRING.revision < 0:
        KEYRING.restore(int(keys[b"revision"]), orjson.loads(keys[b"keys"]))
        signing = orjson.loads(keys[b"signing"])
        SIGNING.restore({int(pk): tuple(generations) for pk, generations in signing.items()})
    return ColdStartCopy(documents, max(0.0, time.time() - confirmed))


def newer_than(versions: Mapping[int, int]) -> Missed:
    """What was published after these versions. Raises RedisError.

    It serves a process that cannot ask PostgreSQL and was not listening at that time. Where Redis still has the single
    steps they are returned, so that the stream clients of the process hear each change.
    """
    published, kills = read_hash(PUBLISHED), read_hash(KILLS)
    missed = Missed({}, {}, [])
    for environment_id, version in versions.items():
        name = str(environment_id)
        noted = _kills_of(name, kills)
        if int(published.get(name.encode(), 0)) > version:
            steps = steps_since(environment_id, version)
            if steps is not None:
                missed.steps[environment_id] = steps
            else:
                fields = read_hash(cold_start_copy_key(environment_id))
                if fields and int(fields[b"@version"]) > version:
                    missed.documents[environment_id] = _document(fields, noted)
        for number, key, flag in noted:
            if number > version:
                now = int(time.time() * 1000)
                kind, entity = Change.Kind.KILL_SWITCH, Change.Entity.FLAG
                missed.kills.append(Step(environment_id, number, str(kind), str(entity), key, flag, now))
    return missed


def recent_steps(environment_id: int) -> list[Step]:
    """The latest steps that were published, in order and without a gap. Raises RedisError."""
    kept = cast("list[bytes]", client().lrange(recent_steps_key(environment_id), 0, -1))
    return [Step.of_message(orjson.loads(content.split(b" ", 2)[2])) for content in kept]


def steps_since(environment_id: int, version: int) -> list[Step] | None:
    """The published steps after `version`, without a gap; None where Redis no longer has them all."""
    steps = [step for step in recent_steps(environment_id) if step.version > version]
    return steps if steps and steps[0].version == version + 1 else None


def _kills_of(environment: str, kills: Mapping[bytes, bytes]) -> list[tuple[int, str, Any]]:
    prefix = f"{environment}:{Change.Entity.FLAG}:".encode()
    found = []
    for field, note in kills.items():
        if field.startswith(prefix) and (match := _KILL_NOTE.fullmatch(note)):
            found.append((int(match[1]), field[len(prefix) :].decode(), orjson.loads(match[2])))
    return found


def _document(fields: Mapping[bytes, bytes], kills: list[tuple[int, str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "contract": CONTRACT_VERSION,
        "environment": orjson.loads(fields[b"@environment"]),
        "version": int(fields[b"@version"]),
        "flags": {},
        "segments": {},
    }
    for field, content in fields.items():
        entity, _, key = field.decode().partition(":")
        if entity in {Change.Entity.FLAG, Change.Entity.SEGMENT}:
            document[f"{entity}s"][key] = orjson.loads(content)
    for version, key, flag in kills:
        if version > document["version"]:
            document["flags"][key] = flag
    return document
