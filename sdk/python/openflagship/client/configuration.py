"""The configuration that a client evaluates from: one immutable environment. A change replaces it as a whole."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from openflagship.client.sse import ServerEvent
from openflagship.engine import CompiledEnvironment, DecodeError
from openflagship.stream_kinds import FLAG_KINDS, KILL_SWITCH, SEGMENT_KINDS, SNAPSHOT

log = logging.getLogger("openflagship")

# Called with the keys of the changed flags. None stands for any flag; an empty set says that only staleness changed.
Listener: TypeAlias = Callable[[frozenset[str] | None], None]
# Called with the events just applied, in their order; None where the whole configuration was replaced.
Tap: TypeAlias = Callable[[list[ServerEvent] | None], None]


class SnapshotError(ValueError):
    """The received snapshot cannot be used; the message says why."""


class ResyncNeededError(Exception):
    """A change cannot be applied by itself, so the client has to fetch the whole snapshot."""


def parse_snapshot(body: bytes) -> CompiledEnvironment:
    """Raises SnapshotError."""
    try:
        return CompiledEnvironment.from_document(json.loads(body))
    except DecodeError as error:
        raise SnapshotError(f"this is no snapshot: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"this is no JSON: {type(error).__name__}") from error


def check_signature(body: bytes, secret: str, *signatures: str) -> None:
    """Raises SnapshotError unless one of `signatures` is `sha256=` and the HMAC of the body in hexadecimal."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(expected.encode(), signature.strip().encode()) for signature in signatures):
        raise SnapshotError("the snapshot's signature is missing or wrong")


class Configuration:
    """Every evaluation reads `environment` without a lock. All other state belongs to the one writer."""

    def __init__(self, stale_after_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.environment = CompiledEnvironment.from_document({"contract": 1, "version": 0, "flags": {}, "segments": {}})
        # One of "", "bootstrap", "stored", "server".
        self.source = ""
        self.etag: str | None = None
        self._stale_after_seconds = stale_after_seconds
        self._clock = clock
        self._confirmed_at: float | None = None
        self._is_lasting = False
        self._ahead: dict[str, Any] = {}
        self._listeners: tuple[Listener, ...] = ()
        # At most one observer, which passes the changes on.
        self.tap: Tap | None = None

    @property
    def version(self) -> int:
        return self.environment.version

    @property
    def is_had(self) -> bool:
        return bool(self.source)

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the server last confirmed the configuration; None where it never did."""
        return None if self._confirmed_at is None else self._clock() - self._confirmed_at

    @property
    def seconds_to_stale(self) -> float | None:
        age = self.age_seconds
        if age is None or self._is_lasting or self.environment.stale:
            return None
        return max(0.0, self._stale_after_seconds - age)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every change, in the thread that applied it. The returned function ends that."""
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return end

    def adopt(
        self, environment: CompiledEnvironment, source: str, *, age_seconds: float = 0.0, is_lasting: bool = False
    ) -> None:
        """Use a configuration that did not come from the server. One that `is_lasting` never goes stale."""
        self._is_lasting = is_lasting
        self._confirmed_at = self._clock() - age_seconds
        self._swap_whole(environment, source)

    def replace(
        self, environment: CompiledEnvironment, etag: str | None = None, *, is_from_stream: bool = False
    ) -> None:
        """Use the server's snapshot.

        A fetched snapshot that is older than the present one came from a process that lags behind; it is ignored. The
        stream sends an older one only where the server itself went back to a backup.
        """
        self.confirm()
        if self.source == "server" and environment.version < self.version and not is_from_stream:
            return
        self.etag = etag
        self._ahead.clear()
        self._swap_whole(environment, "server")

    def confirm(self) -> None:
        """Note that the server has confirmed the configuration as current."""
        self._confirmed_at = self._clock()
        self._is_lasting = False
        if self.environment.stale:
            self._swap(self.environment.with_staleness(False), self.source, frozenset())

    def check_staleness(self) -> bool:
        """Mark the answers stale when it is time; true where they have just become stale."""
        left = self.seconds_to_stale
        if left is None or left > 0:
            return False
        self._swap(self.environment.with_staleness(True), self.source, frozenset())
        log.warning("the configuration could not be refreshed for %.0f s: answers are marked stale", self.age_seconds)
        return True

    def apply(self, events: Iterable[ServerEvent]) -> bool:
        """Apply a stream's events as one change; true where any applied. Raises SnapshotError, ResyncNeededError."""
        flags: dict[str, Any] = {}
        segments: dict[str, Any] = {}
        version = before = self.version
        applied: list[ServerEvent] = []
        for event in events:
            try:
                data = json.loads(event.data)
            except (ValueError, RecursionError) as error:
                raise ResyncNeededError("an event is no JSON") from error
            if event.kind == SNAPSHOT:
                self._apply_snapshot(data)
                version = before = self.version
                flags, segments, applied = {}, {}, []
            elif event.kind in FLAG_KINDS or event.kind in SEGMENT_KINDS:
                at = _version_of(event)
                if at is not None and at <= version:
                    continue
                key, document = _change(data)
                if event.kind in SEGMENT_KINDS:
                    segments[key] = document
                else:
                    self._note_flag(flags, event.kind, key, document, is_ahead=at is None)
                version = version if at is None else at
                applied.append(event)
        if not flags and not segments and version == before:
            return False
        environment = self.environment.replace(version, flags=flags, segments=segments)
        self._swap(environment, self.source, None if segments else frozenset(flags))
        self.etag = None
        if self.tap is not None:
            self.tap(applied)
        return True

    def _apply_snapshot(self, data: Any) -> None:
        try:
            environment = CompiledEnvironment.from_document(data)
        except DecodeError as error:
            raise SnapshotError(f"this is no snapshot: {error}") from error
        self.replace(environment, is_from_stream=True)

    def _note_flag(self, flags: dict[str, Any], kind: str, key: str, document: Any, *, is_ahead: bool) -> None:
        if is_ahead:
            # A kill arrived before the steps that precede it. They must not undo it; the kill comes again after them.
            self._ahead[key] = document
        elif key in self._ahead:
            if kind != KILL_SWITCH:
                return
            del self._ahead[key]
        flags[key] = document

    def _swap_whole(self, environment: CompiledEnvironment, source: str) -> None:
        self._swap(environment.keeping(self.environment), source, None)
        if self.tap is not None:
            self.tap(None)

    def _swap(self, environment: CompiledEnvironment, source: str, keys: frozenset[str] | None) -> None:
        self.environment = environment
        self.source = source
        for listener in self._listeners:
            try:
                listener(keys)
            except Exception:
                # The listener is not our code; the client must go on following changes.
                log.exception("a listener to configuration changes failed")


def _version_of(event: ServerEvent) -> int | None:
    if event.id is None:
        return None
    if not (event.id.isascii() and event.id.isdigit()):
        raise ResyncNeededError("an event's id is no version")
    return int(event.id)


def _change(data: Any) -> tuple[str, Mapping[str, Any] | None]:
    if not isinstance(data, dict) or not isinstance(data.get("key"), str):
        raise ResyncNeededError("an event names no flag and no segment")
    return data["key"], None if data.get("deleted") is True else data
