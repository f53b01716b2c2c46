"""What the connected services understand, by their acknowledgements; and which are too old for a document."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from openflagship.wire.acknowledgements import Understanding, understanding_in

from flags.propagation.acknowledgements import is_connected, now_ms, services_key
from flags.propagation.publishing import read_hash


@dataclass(frozen=True, slots=True)
class OutdatedServices:
    """So many connected instances of one version of an SDK, and the features that they do not understand."""

    sdk: str
    version: str
    instances: int
    features: tuple[str, ...]


def understanding_said(state: Mapping[str, Any]) -> Understanding | None:
    """What a service's state in Redis says; a service of an older release says nothing."""
    said = state.get("understanding")
    return understanding_in(orjson.loads(said)) if said else None


def outdated_services(environment_id: int, features: Iterable[str]) -> list[OutdatedServices]:
    """The connected services that do not understand all of the features, the most instances first. Raises RedisError.

    A service that has applied a version and names no features understands none of them. One that is only connected is
    not counted, because it has not said anything yet.
    """
    needed = frozenset(features)
    if not needed:
        return []
    now = now_ms()
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for content in read_hash(services_key(environment_id)).values():
        state = orjson.loads(content)
        said = understanding_said(state)
        missing = needed.difference(said.features if said else ())
        is_known = said is not None or state["version"] >= 0
        if missing and is_known and is_connected(state, now):
            found[state["sdk"], tuple(sorted(missing))] += 1
    return [
        OutdatedServices(*_name_and_version(sdk), instances, missing)
        for (sdk, missing), instances in found.most_common()
    ]


def _name_and_version(sdk: str) -> tuple[str, str]:
    name, _, version = sdk.rpartition("/")
    return (name, version) if name else (version, "")
