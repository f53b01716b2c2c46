"""The body of `POST stream/ack`: which version a service has applied, and what it understands of it.

Features are what a flag may use that an older evaluator does not understand, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openflagship.wire.errors import RefusedError

if TYPE_CHECKING:
    from openflagship.engine import CompiledEnvironment

MAX_BODY_BYTES: Final = 32_768
MAX_NAME_CHARACTERS: Final = 100
MOST_KEYS: Final = 50
MOST_FEATURES: Final = 50

RULE_TREES: Final = "rule_trees"
BUCKET_BY_LIST: Final = "bucket_by_list"
EXPERIMENT_SPLIT: Final = "experiment_split"
# What this package understands.
FEATURES: Final = (RULE_TREES, BUCKET_BY_LIST, EXPERIMENT_SPLIT)

_GROUPS: Final = ("all", "any", "not")


class Understanding(NamedTuple):
    """What a service understands: features by name, and the flags and segments of its version that it does not.

    `flags` and `segments` have at most 50 keys each; `total` is the number of all, in a body `count`.
    """

    features: tuple[str, ...]
    flags: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    total: int = 0

    @property
    def members(self) -> dict[str, Any]:
        """Its members of a body."""
        keys = {"flags": list(self.flags), "segments": list(self.segments), "count": self.total}
        return {"features": list(self.features), "notUnderstood": keys}


class Acknowledgement(NamedTuple):
    """`instance` names the service's process; `sdk` may be empty. `understanding` is None where nothing is said.

    One that `is_goodbye` says that the process ends, so that nobody waits for it.
    """

    instance: str
    version: int
    sdk: str
    understanding: Understanding | None = None
    is_goodbye: bool = False

    @property
    def answer(self) -> dict[str, Any]:
        """What the sender is told with status 202."""
        return {"instance": self.instance, "version": self.version}

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        said: dict[str, Any] = {"instance": self.instance, "version": self.version, "sdk": self.sdk}
        if self.is_goodbye:
            said["goodbye"] = True
        return said if self.understanding is None else {**said, **self.understanding.members}


def understanding_of(environment: CompiledEnvironment) -> Understanding:
    """What this package understands of a configuration."""
    flags = environment.not_understood
    segments = tuple(key for key, segment in sorted(environment.segments.items()) if not segment.is_understood)
    return Understanding(FEATURES, flags[:MOST_KEYS], segments[:MOST_KEYS], len(flags) + len(segments))


def acknowledgement_of(message: Any) -> Acknowledgement:
    """Check a parsed body. Raises RefusedError."""
    if not isinstance(message, dict):
        raise RefusedError(400, "Send a JSON object {instance, version}.")
    instance, version, sdk = message.get("instance"), message.get("version"), message.get("sdk", "")
    if not isinstance(instance, str) or not 0 < len(instance) <= MAX_NAME_CHARACTERS:
        raise RefusedError(400, "Name the instance: 1 to 100 characters, such as host and process id.")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 2**53:
        raise RefusedError(400, "Send the version that is applied, as a whole number.")
    if not isinstance(sdk, str) or len(sdk) > MAX_NAME_CHARACTERS:
        raise RefusedError(400, "Name the SDK in at most 100 characters.")
    goodbye = message.get("goodbye", False)
    if not isinstance(goodbye, bool):
        raise RefusedError(400, "Send goodbye as true or false.")
    return Acknowledgement(instance, version, sdk, understanding_in(message), goodbye)


def understanding_in(message: dict[str, Any]) -> Understanding | None:
    """What a message says of it; None where it says nothing. Raises RefusedError."""
    if message.get("features") is None and message.get("notUnderstood") is None:
        return None
    features = _names(message.get("features") or [], "features", MOST_FEATURES)
    keys = message.get("notUnderstood") or {}
    if not isinstance(keys, dict):
        raise RefusedError(400, "Send notUnderstood as an object {flags, segments, count}.")
    flags = _names(keys.get("flags") or [], "notUnderstood.flags", MOST_KEYS)
    segments = _names(keys.get("segments") or [], "notUnderstood.segments", MOST_KEYS)
    count = keys.get("count", len(flags) + len(segments))
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**53:
        raise RefusedError(400, "Send notUnderstood.count, of all keys, as a whole number.")
    return Understanding(features, flags, segments, count)


def _names(listed: Any, name: str, most: int) -> tuple[str, ...]:
    is_list = isinstance(listed, list) and len(listed) <= most
    if not is_list or not all(isinstance(item, str) and 0 < len(item) <= MAX_NAME_CHARACTERS for item in listed):
        raise RefusedError(400, f"Send {name} as a list of at most {most} names, each of 1 to 100 characters.")
    return tuple(listed)


def features_used(flag: Mapping[str, Any]) -> frozenset[str]:
    """The features that a flag's valid document uses."""
    found = set()
    if any(_is_tree(rule.get("conditions")) for rule in flag.get("rules", ())):
        found.add(RULE_TREES)
    if isinstance(flag.get("bucketBy"), list):
        found.add(BUCKET_BY_LIST)
    experiment = flag.get("experiment") or {}
    if experiment.get("allocation") is not None or experiment.get("priority") is not None:
        found.add(EXPERIMENT_SPLIT)
    return frozenset(found)


def _is_tree(conditions: Any) -> bool:
    nodes: Iterable[Any] = conditions if isinstance(conditions, list) else ()
    return isinstance(conditions, dict) or any(group in node for node in nodes for group in _GROUPS)
