"""Stores for the last good snapshot: a file, memory, or Redis for a whole fleet."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol


class SnapshotStore(Protocol):
    """Both methods may be slow and may fail; a failure costs a warning. `load` also returns the age in seconds."""

    def load(self) -> tuple[bytes, float] | None: ...

    def save(self, body: bytes, version: int) -> None: ...


class FileStore:
    """A file that is replaced as a whole: a reader finds the old snapshot or the new one, never half of one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> tuple[bytes, float] | None:
        try:
            body = self.path.read_bytes()
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return None
        return body, max(0.0, age)

    def save(self, body: bytes, version: int) -> None:  # noqa: ARG002 - the protocol's; a file has one writer
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes it readable by its owner alone: rules may name users.
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


class MemoryStore:
    """Memory that the clients of one process share, such as those of a test."""

    def __init__(self) -> None:
        self._saved: tuple[bytes, int, float] | None = None

    def load(self) -> tuple[bytes, float] | None:
        saved = self._saved
        return None if saved is None else (saved[0], time.monotonic() - saved[2])

    def save(self, body: bytes, version: int) -> None:
        if self._saved is None or version >= self._saved[1]:
            self._saved = (body, version, time.monotonic())


_SAVE = """
if tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'at', ARGV[2], 'body', ARGV[3])
end
"""


class RedisStore:
    """A hash in Redis that a fleet shares. An earlier version never replaces a later one."""

    def __init__(self, redis: Any, key: str = "openflagship:snapshot") -> None:
        """`redis`: a `redis.Redis` that does not decode responses, with timeouts of its own."""
        self._redis = redis
        self._key = key

    def load(self) -> tuple[bytes, float] | None:
        body, at = self._redis.hmget(self._key, "body", "at")
        if body is None or at is None:
            return None
        return bytes(body), max(0.0, time.time() - float(at))

    def save(self, body: bytes, version: int) -> None:
        self._redis.eval(_SAVE, 1, self._key, version, time.time(), body)
