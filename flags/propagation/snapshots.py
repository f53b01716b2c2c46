"""An environment's snapshot as bytes: canonical JSON, compressed and hashed once per version, served from memory."""

import gzip
import hashlib
import threading
from dataclasses import dataclass, field
from functools import cached_property

import structlog
from openflagship.engine import CompiledEnvironment
from openflagship.wire.conditional import gzip_etag

from flags.propagation.runtime import RUNTIME
from flags.propagation.signing import SIGNING

log = structlog.get_logger(__name__)
LARGE_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Snapshot:
    """One version's bytes, plain and compressed; a strong ETag has to differ between the two."""

    environment: CompiledEnvironment = field(repr=False)
    body: bytes = field(repr=False)
    _signed: dict[tuple[int, ...], tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> int:
        return self.environment.version

    @cached_property
    def etag(self) -> str:
        return f'"{self.version}-{hashlib.sha256(self.body).hexdigest()[:24]}"'

    @cached_property
    def gzip_etag(self) -> str:
        return gzip_etag(self.etag)

    @cached_property
    def gzipped(self) -> bytes:
        # No time stamp: the same snapshot compresses to the same bytes in every process.
        return gzip.compress(self.body, compresslevel=6, mtime=0)

    @cached_property
    def environment_key(self) -> str:
        return str(self.environment.header.get("key", ""))

    def signatures(self, environment_id: int) -> tuple[str, ...]:
        """Of the uncompressed body, by each valid key, the one in use first; made once per version and rotation."""
        keys = SIGNING.keys(environment_id)
        generations = tuple(key.generation for key in keys)
        made = self._signed.get(generations)
        if made is None:
            made = self._signed[generations] = tuple(key.sign(self.body) for key in keys)
        return made

    def is_packed(self, environment_id: int) -> bool:
        """Whether all that takes a while is done: what the body is hashed, compressed and signed to."""
        generations = tuple(key.generation for key in SIGNING.keys(environment_id))
        return self.__dict__.keys() >= {"etag", "gzipped"} and generations in self._signed


_made: dict[int, Snapshot] = {}
_making = threading.Lock()


def snapshot_of(environment_id: int) -> Snapshot | None:
    """The environment's current snapshot; None while this process does not know it. Encodes once per version."""
    environment = RUNTIME.environments.get(environment_id)
    if environment is None:
        return None
    made = _made.get(environment_id)
    if made is not None and made.environment is environment:
        return made
    with _making:
        made = _made.get(environment_id)
        if made is None or made.environment is not environment:
            made = _make(environment_id, environment)
            _made[environment_id] = made
    return made


def is_packed(environment_id: int) -> bool:
    """Whether the environment's current snapshot is made and packed, so that it costs no more than to send it."""
    made = _made.get(environment_id)
    is_current = made is not None and made.environment is RUNTIME.environments.get(environment_id)
    return made is not None and is_current and made.is_packed(environment_id)


def _make(environment_id: int, environment: CompiledEnvironment) -> Snapshot:
    body = environment.text().encode()
    if len(body) > LARGE_BYTES:
        log.warning("snapshot_large", environment=environment_id, version=environment.version, size_bytes=len(body))
    return Snapshot(environment, body)
