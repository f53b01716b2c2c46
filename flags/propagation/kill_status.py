"""The kill status: which connected services have applied a kill, how long each took, which are late or silent."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from openflagship.wire.acknowledgements import Understanding
from redis.exceptions import RedisError

from flags.models import Change, FlagConfig
from flags.propagation.acknowledgements import (
    GONE_AFTER_MS,
    OWN_SDK,
    applied_key,
    has_left,
    is_connected,
    now_ms,
    services_key,
)
from flags.propagation.publishing import client, read_hash
from flags.propagation.service_features import understanding_said

LATE_AFTER_MS = 2_000
FORGOTTEN_AFTER_MS = 86_400_000

APPLIED, LATE, WAITING, NOT_HEARD = "applied", "late", "waiting", "not_heard"


@dataclass(frozen=True, slots=True)
class Service:
    """One connected service. `took_ms` is None if it has not applied the kill, or connected after the kill.

    `understanding` is None where the service has not said it.
    """

    instance: str
    sdk: str
    version: int | None
    status: str
    took_ms: int | None
    seen_at: datetime
    understanding: Understanding | None = None
    is_connected: bool = True

    @property
    def features(self) -> tuple[str, ...] | None:
        return None if self.understanding is None else self.understanding.features

    @property
    def not_understood_keys(self) -> list[str]:
        """The same in words, of at most 50 flags and 50 segments."""
        said = self.understanding
        return [] if said is None else [*said.flags, *(f"segment {key}" for key in said.segments)]

    @property
    def not_understood(self) -> dict[str, Any] | None:
        """Keys of flags and segments whose present version it does not understand, and their count."""
        return None if self.understanding is None else self.understanding.members["notUnderstood"]


@dataclass(frozen=True, slots=True)
class KillStatus:
    """A kill or its release, and who has applied it. It `is_complete` once every connected service has."""

    flag_key: str
    kill_switch_variant: str | None
    reason: str
    config_version: int | None
    at: datetime | None
    is_available: bool
    is_complete: bool
    applied: int
    late: int
    waiting: int
    not_heard: int
    p50_ms: int | None
    p99_ms: int | None
    late_after_ms: int
    services: tuple[Service, ...]


def kill_status(config: FlagConfig) -> KillStatus:
    """Who has applied the flag's last kill or release. `is_available` is False while Redis is away."""
    change = _last_kill(config)
    is_available = True
    services: list[Service] = []
    try:
        services = _services(config.environment_id, change)
    except RedisError:
        is_available = False
    counts = {status: sum(service.status == status for service in services) for status in (LATE, WAITING, NOT_HEARD)}
    took = sorted(service.took_ms for service in services if service.took_ms is not None)
    return KillStatus(
        flag_key=config.flag.key,
        kill_switch_variant=config.kill_switch_variant or None,
        reason=config.kill_reason,
        config_version=change.version if change else None,
        at=change.created_at if change else None,
        is_available=is_available,
        is_complete=is_available and all(_has_applied(service, change) for service in services if _is_here(service)),
        applied=sum(_has_applied(service, change) for service in services),
        late=counts[LATE],
        waiting=counts[WAITING],
        not_heard=counts[NOT_HEARD],
        p50_ms=percentile(took, 50),
        p99_ms=percentile(took, 99),
        late_after_ms=LATE_AFTER_MS,
        services=tuple(services),
    )


def services_of(environment_id: int) -> list[Service]:
    """Return every service heard from in the last day, by name. Raises RedisError."""
    return sorted(_services(environment_id, None), key=lambda service: service.instance)


def percentile(ascending: list[int], percent: int) -> int | None:
    """The percentile by nearest rank: the smallest value that at least `percent` of the values do not exceed."""
    return ascending[math.ceil(len(ascending) * percent / 100) - 1] if ascending else None


def _last_kill(config: FlagConfig) -> Change | None:
    return (
        Change.objects.filter(
            environment_id=config.environment_id,
            entity=Change.Entity.FLAG,
            key=config.flag.key,
            kind=Change.Kind.KILL_SWITCH,
        )
        .order_by("-version")
        .first()
    )


def _services(environment_id: int, change: Change | None) -> list[Service]:
    now = now_ms()
    applied = read_hash(applied_key(environment_id, change.version)) if change else {}
    found, forgotten = [], []
    for name, content in read_hash(services_key(environment_id)).items():
        state = orjson.loads(content)
        if now - state["seenAt"] > FORGOTTEN_AFTER_MS:
            forgotten.append(name)
        elif has_left(state, now):
            # Kept for a while: a report from before it left may still be on its way.
            continue
        else:
            found.append(_service(name, state, applied.get(name), change, now))
    if forgotten:
        client().hdel(services_key(environment_id), *forgotten)
    order = (LATE, WAITING, NOT_HEARD, APPLIED)
    return sorted(found, key=lambda service: (order.index(service.status), -(service.took_ms or 0), service.instance))


def _service(name: bytes, state: dict[str, Any], applied_at: bytes | None, change: Change | None, now: int) -> Service:
    version, seen_at = int(state["version"]), int(state["seenAt"])
    status, took = APPLIED, None
    if change is not None:
        killed_at = int(change.created_at.timestamp() * 1000)
        if applied_at is not None:
            took = max(0, int(applied_at) - killed_at)
            status = LATE if took > LATE_AFTER_MS else APPLIED
        elif version < change.version:
            is_gone = now - seen_at > GONE_AFTER_MS
            status = NOT_HEARD if is_gone else LATE if now - killed_at > LATE_AFTER_MS else WAITING
    return Service(
        instance=name.decode(),
        sdk=state["sdk"],
        version=version if version >= 0 else None,
        status=status,
        took_ms=took,
        seen_at=datetime.fromtimestamp(seen_at / 1000, tz=UTC),
        understanding=understanding_said(state),
        is_connected=is_connected(state, now),
    )


def _has_applied(service: Service, change: Change | None) -> bool:
    return change is None or (service.version is not None and service.version >= change.version)


def _is_here(service: Service) -> bool:
    """A process of ours that is silent may still answer, by what it heard last. One that ends takes its leave."""
    return service.status != NOT_HEARD or service.sdk == OWN_SDK
