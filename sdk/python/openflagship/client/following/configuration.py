"""The configuration that a client evaluates from: one immutable environment. A change replaces it as a whole."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from openflagship.client.following.announcements import Announcer
from openflagship.client.transport.effects import Logic, Pause
from openflagship.client.transport.sse import MOST_DIGITS, ServerEvent
from openflagship.engine import CompiledEnvironment, DecodeError
from openflagship.stream_kinds import FLAG_KINDS, KILL_SWITCH, SEGMENT_KINDS, SNAPSHOT, STREAM_KINDS

log = logging.getLogger("openflagship")

# Called with the events just applied, in their order; None where the whole configuration was replaced.
Tap: TypeAlias = Callable[[list[ServerEvent] | None], None]


class SnapshotError(ValueError):
    """The received snapshot cannot be used; the message says why."""


class ResyncNeededError(Exception):
    """A change cannot be applied by itself, so the client has to fetch the whole snapshot."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A snapshot as its maker signed it: what is kept with its signatures can be checked again."""

    body: bytes = field(repr=False)
    signatures: tuple[str, ...]


def parse_snapshot(body: bytes | str) -> CompiledEnvironment:
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


@dataclass(frozen=True, slots=True)
class Change:
    """What one or more events of a stream make of the configuration; made apart, because compiling takes long."""

    environment: CompiledEnvironment
    keys: frozenset[str] | None
    events: list[ServerEvent]
    ahead: dict[str, Any]
    is_snapshot: bool = False


def runs_of(events: Iterable[ServerEvent]) -> Iterator[list[ServerEvent]]:
    """The events in their order, each snapshot by itself."""
    run: list[ServerEvent] = []
    for event in events:
        if event.kind == SNAPSHOT:
            if run:
                yield run
            run = []
            yield [event]
        else:
            run.append(event)
    if run:
        yield run


class Configuration:
    """Every evaluation reads `environment` without a lock. The lock is for the few who write."""

    def __init__(self, stale_after_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.environment = CompiledEnvironment.from_document({"contract": 1, "version": 0, "flags": {}, "segments": {}})
        # One of "", "bootstrap", "stored", "server".
        self.source = ""
        self.etag: str | None = None
        # The present configuration as it was signed, where a signature was checked.
        self.proof: Proof | None = None
        self.announcer = Announcer()
        self._stale_after_seconds = stale_after_seconds
        self._clock = clock
        self._confirmed_at: float | None = None
        self._is_lasting = False
        # The newest version that was told of and not proved, and since when every fetched snapshot was an older one.
        self._heard = 0
        self._older_since: float | None = None
        self._ahead: dict[str, Any] = {}
        self._writing = threading.Lock()
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
        """Seconds since the configuration was last known to be current; None where it never was.

        It counts from the server on: what an edge says of its own silence is included.
        """
        return None if self._confirmed_at is None else self._clock() - self._confirmed_at

    @property
    def confirmed_at_unix(self) -> float | None:
        """The same as an instant, for a copy that outlives the process."""
        age = self.age_seconds
        return None if age is None else time.time() - age

    @property
    def seconds_to_stale(self) -> float | None:
        age = self.age_seconds
        if age is None or self._is_lasting or self.environment.stale:
            return None
        return max(0.0, self._stale_after_seconds - age)

    def held(self) -> tuple[CompiledEnvironment, Proof | None]:
        """The configuration and its proof, which belong together."""
        with self._writing:
            return self.environment, self.proof

    def after_fork(self) -> None:
        """Call it in the child: the lock may have been held by a thread that is not here."""
        self._writing = threading.Lock()
        self.announcer.forget()

    def adopt(
        self,
        environment: CompiledEnvironment,
        source: str,
        *,
        age_seconds: float = 0.0,
        is_lasting: bool = False,
        proof: Proof | None = None,
    ) -> None:
        """Use a configuration that did not come from the server. One that `is_lasting` never goes stale."""
        with self._writing:
            self._is_lasting = is_lasting
            self._confirmed_at = self._clock() - age_seconds
            self.proof = proof
            self._swap_whole(environment, source)

    def replace(
        self,
        environment: CompiledEnvironment,
        etag: str | None = None,
        *,
        age_seconds: float = 0.0,
        proof: Proof | None = None,
        is_from_stream: bool = False,
    ) -> None:
        """Use the server's snapshot, whose sender has been without news for `age_seconds`.

        A fetched snapshot that is older than the present one came from a process that lags behind; it is ignored,
        unless all are older for as long as answers may go without news: then the server itself went back to a backup.
        The stream sends an older one only there.
        """
        with self._writing:
            if is_from_stream:
                self._heard, self._older_since = 0, None
            elif self._is_lagging(environment.version, age_seconds) and environment.version < self.version:
                return
            self.etag = etag
            self.proof = proof
            self._ahead = {}
            self._swap_whole(environment.with_staleness(self._is_past_limit), "server")

    def confirm(self, age_seconds: float = 0.0) -> None:
        """Note that a sender holds the configuration for current; it has been without news for `age_seconds`."""
        with self._writing:
            if self._heard > self.version:
                return
            if self.proof is None:
                # Where signatures are asked for, a fetched snapshot says it, and nothing else.
                self._older_since = None
            self._confirm(age_seconds)

    def confirm_fetched(self, age_seconds: float) -> None:
        """Note that the snapshot which was asked for is the present one."""
        with self._writing:
            self._is_lagging(self.version, age_seconds)

    def hear(self, version: int) -> None:
        """Note that there is this version, as somebody says; until it is had, no older one is taken for current."""
        with self._writing:
            self._heard = max(self._heard, version)

    @property
    def is_behind(self) -> bool:
        return self._heard > self.version or self._older_since is not None

    def _is_lagging(self, version: int, age_seconds: float) -> bool:
        """Whether the sender of a fetched version lags behind. The one that does not confirms the configuration."""
        if self.source == "server" and version < max(self.version, self._heard):
            now = self._clock()
            self._older_since = now if self._older_since is None else self._older_since
            if now - self._older_since < self._stale_after_seconds:
                return True
            log.warning("the server went back from version %d to %d", max(self.version, self._heard), version)
            self._heard = 0
        self._older_since = None
        self._confirm(age_seconds)
        return False

    def _confirm(self, age_seconds: float) -> None:
        self._confirmed_at = self._clock() - age_seconds
        if age_seconds > 0.0:
            # It may be stale sooner than the clock's watcher, who sleeps, knows.
            self.announcer.wake()
        self._is_lasting = False
        self._mark(self._is_past_limit)

    @property
    def _is_past_limit(self) -> bool:
        age = self.age_seconds
        return age is not None and not self._is_lasting and age >= self._stale_after_seconds

    def check_staleness(self) -> bool:
        """Mark the answers stale when it is time; true where they have just become stale.

        It never waits: evaluations call it too, in a signal's handler or a log's. Whoever writes marks them, or the
        next call does.
        """
        if self.environment.stale or not self._is_past_limit or not self._writing.acquire(blocking=False):
            return False
        try:
            return self._is_past_limit and self._mark(True)
        finally:
            self._writing.release()

    def watch_staleness(self) -> float:
        """The same, for whoever watches the clock. Returns after how many seconds to call it again."""
        self.check_staleness()
        left = self.seconds_to_stale
        return self._stale_after_seconds if left is None else left + 0.01

    def watch(self) -> Logic[None]:
        """Watch the clock until the driver stops this."""
        while True:
            yield Pause(self.watch_staleness())

    def _mark(self, is_stale: bool) -> bool:
        if self.environment.stale is is_stale:
            return False
        self._swap(self.environment.with_staleness(is_stale), self.source, frozenset())
        if is_stale:
            log.warning("no news of the configuration for %.0f s: answers are marked stale", self.age_seconds)
        return True

    def apply(self, events: Iterable[ServerEvent]) -> bool:
        """Apply a stream's events; true where any applied. Raises SnapshotError, ResyncNeededError."""
        is_changed = False
        for run in runs_of(events):
            change = self.prepare(run)
            if change is not None:
                self.commit(change)
                is_changed = True
        return is_changed

    def prepare(self, run: list[ServerEvent]) -> Change | None:
        """What `run` (see `runs_of`) makes of the present configuration; None where nothing. Writes nothing.

        Raises SnapshotError, ResyncNeededError.
        """
        if run[0].kind == SNAPSHOT:
            return Change(parse_snapshot(run[0].data), None, [], {}, is_snapshot=True)
        flags: dict[str, Any] = {}
        segments: dict[str, Any] = {}
        ahead = dict(self._ahead)
        version = self.version
        applied: list[ServerEvent] = []
        for event in run:
            is_known = event.kind in STREAM_KINDS
            at = version_of(event, is_known=is_known)
            if (at is not None and at <= version) or (at is None and not is_known):
                continue
            if is_known:
                key, document = _changed(event.data)
                if event.kind in SEGMENT_KINDS:
                    segments[key] = document
                elif event.kind in FLAG_KINDS:
                    _note_flag(flags, ahead, event.kind, key, document, is_ahead=at is None)
            # What a later release tells in a kind of its own is passed over, and passed on; its place is noted.
            version = version if at is None else at
            applied.append(event)
        if not applied:
            return None
        environment = self.environment.replace(version, flags=flags, segments=segments)
        return Change(environment, None if segments else frozenset(flags), applied, ahead)

    def commit(self, change: Change) -> None:
        """Use what `prepare` made, before any other event is prepared."""
        if change.is_snapshot:
            self.replace(change.environment, is_from_stream=True)
            return
        with self._writing:
            self._ahead, self._older_since = change.ahead, None
            # It may have become stale, or current, since `change` was made.
            environment = change.environment.with_staleness(self.environment.stale)
            self.etag = self.proof = None
            self.environment = environment
            if change.keys is None or change.keys:
                self.announcer.changed(change.keys, environment)
            if self.tap is not None:
                self.tap(change.events)

    def _swap_whole(self, environment: CompiledEnvironment, source: str) -> None:
        self._swap(environment.keeping(self.environment), source, None)
        if self.tap is not None:
            self.tap(None)

    def _swap(self, environment: CompiledEnvironment, source: str, keys: frozenset[str] | None) -> None:
        self.environment = environment
        self.source = source
        self.announcer.changed(keys, environment)


def _note_flag(
    flags: dict[str, Any], ahead: dict[str, Any], kind: str, key: str, document: Any, *, is_ahead: bool
) -> None:
    if is_ahead:
        # A kill arrived before the steps that precede it. They must not undo it; the kill comes again after them.
        ahead[key] = document
    elif key in ahead:
        if kind != KILL_SWITCH:
            return
        del ahead[key]
    flags[key] = document


def version_of(event: ServerEvent, *, is_known: bool) -> int | None:
    """Raises ResyncNeededError for the id of a known kind that is no version."""
    if event.id is None:
        return None
    if not (event.id.isascii() and event.id.isdigit()) or len(event.id) > MOST_DIGITS:
        if not is_known:
            return None
        raise ResyncNeededError("an event's id is no version")
    return int(event.id)


def _changed(text: str) -> tuple[str, Mapping[str, Any] | None]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResyncNeededError("an event is no JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("key"), str):
        raise ResyncNeededError("an event names no flag and no segment")
    return data["key"], None if data.get("deleted") is True else data
