"""Follows the configuration: first a snapshot, then the stream. It polls while there is no stream."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from openflagship.client.following.configuration import (
    Configuration,
    Proof,
    ResyncNeededError,
    SnapshotError,
    check_signature,
    parse_snapshot,
    runs_of,
    version_of,
)
from openflagship.client.following.life import Signs
from openflagship.client.following.refusals import (
    Pauses,
    RefusedError,
    StreamRefusedError,
    age_of,
    origin_of,
    problem_of,
)
from openflagship.client.options import Options
from openflagship.client.transport.addresses import REDIRECTS, STREAM_HEADER, StreamAddress
from openflagship.client.transport.effects import Endpoint, Logic, Pause, aside
from openflagship.client.transport.http import LONG_BYTES, Exchange, Response, request
from openflagship.client.transport.sse import EventTooLargeError, ServerEvent
from openflagship.engine import CompiledEnvironment
from openflagship.stream_kinds import SNAPSHOT, STREAM_KINDS

log = logging.getLogger("openflagship")

STARTING: Final = "starting"
STREAMING: Final = "streaming"
POLLING: Final = "polling"
RECONNECTING: Final = "reconnecting"
REFUSED: Final = "refused"
_MOST_REDIRECTS = 3
_GOOD_POLLS = 2
_KEY_REFUSALS = frozenset({401, 403})
# What cannot be applied: the whole is fetched again.
_UNUSABLE = (SnapshotError, ResyncNeededError, EventTooLargeError)


class Synchroniser:
    """`run` is the logic for a driver. `state` and `error` tell people its progress."""

    def __init__(
        self,
        configuration: Configuration,
        url: str,
        headers: dict[str, str],
        options: Options,
        *,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The driver's thread calls `changed` after every applied change; `changed` must not wait."""
        self.error: str | None = None
        self.reconnects = 0
        self.is_fetched = False
        self._state = STARTING
        self._configuration = configuration
        self._api = Endpoint.of(url, options.proxy)
        self._address = StreamAddress(self._api, options.stream_url, options.proxy)
        self._headers = headers
        self._options = options
        self._is_streaming = options.mode == "stream"
        self._changed = changed
        self._clock = clock
        self._pauses = Pauses(options)
        self._pause_seconds = 0.0
        self._server_retry_seconds = 0.0
        self._good_polls = 0
        # Whether the API says how old its news is; then it alone says that it is current.
        self._says_age = False
        self._sender_age = 0.0
        # Whether the present stream has brought anything.
        self._is_alive = False
        self._next_poll_at = clock() + options.poll_after_seconds

    @property
    def state(self) -> str:
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._configuration.announcer.connection_is(state)

    def run(self) -> Logic[None]:
        """Run until the driver stops it."""
        while True:
            try:
                if not self.is_fetched or not self._is_streaming:
                    yield from self._resync()
                if self._is_streaming:
                    yield from self._stream()
            except Exception as error:  # noqa: BLE001 - a bug must not keep the client from polling
                self._note_failure(error)
            yield from self._wait()

    def run_once(self) -> Logic[None]:
        """Ask for the snapshot once; `error` says what was wrong."""
        try:
            yield from self._fetch()
        except Exception as error:  # noqa: BLE001 - a bug must not reach the caller, who is served from memory
            self._note_failure(error)

    def give_up(self, error: TimeoutError) -> None:
        """Note that `run_once` was cut off by whoever waited for it."""
        self._note_failure(error)

    def _wait(self) -> Logic[None]:
        """Wait for the next attempt at a stream, and poll meanwhile when it is due."""
        if not self._is_streaming and self.error is None:
            seconds = self._poll_seconds()
        else:
            seconds = self._pause_seconds or self._pauses.usual.next_seconds()
            seconds = max(seconds, self._server_retry_seconds)
        self._pause_seconds = self._server_retry_seconds = 0.0
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            if self._is_streaming and self.is_fetched:
                to_poll = self._next_poll_at - self._clock()
                if to_poll <= 0:
                    yield from self._poll()
                    continue
                left = min(left, to_poll)
            yield Pause(left)
        if self._is_streaming and self.is_fetched and self._clock() >= self._next_poll_at:
            yield from self._poll()
        self._pause_seconds = 0.0

    def _poll(self) -> Logic[None]:
        """Ask for the snapshot. The client counts as polling while that succeeds, whatever happens to the stream."""
        self._next_poll_at = self._clock() + self._poll_seconds()
        try:
            yield from self._fetch()
        except Exception as error:  # noqa: BLE001 - see run
            self._note_failure(error, is_poll=True)
            self._next_poll_at = max(self._next_poll_at, self._clock() + self._pause_seconds)
        else:
            self.state = POLLING

    def _poll_seconds(self) -> float:
        return self._options.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret

    def _resync(self) -> Logic[None]:
        """As `_fetch`. Raises ResyncNeededError too, where events prove nothing and the snapshot is older than they."""
        yield from self._fetch()
        is_bound = self._is_streaming and self._options.signing_secret is not None
        if is_bound and self._configuration.is_behind:
            raise ResyncNeededError("the snapshot is older than what the stream tells")

    def _fetch(self) -> Logic[None]:
        """Fetch the snapshot, unless the present one is current. Raises OSError, SnapshotError."""
        headers = {**self._headers, "Accept": "application/json", "Accept-Encoding": "gzip"}
        etag = self._configuration.etag
        if etag is not None:
            headers["If-None-Match"] = etag
        response = yield from request(
            self._api,
            "GET",
            "/api/snapshot",
            headers,
            timeout_seconds=self._options.connect_seconds,
            answer_seconds=self._options.answer_seconds,
        )
        if response.status in REDIRECTS:
            raise RefusedError(response, "GET snapshot", f"it is at {origin_of(response)}; give that address")
        if response.status not in {200, 304}:
            raise RefusedError(response, "GET snapshot")
        self._address.note(response.headers.get(STREAM_HEADER))
        age = age_of(response)
        self._says_age, self._sender_age = age is not None, age or 0.0
        if response.status == 304:
            self._configuration.confirm_fetched(self._sender_age)
        else:
            proof = self._proof_of(response)
            environment = yield from _compiled(response.body)
            self._configuration.replace(
                environment, response.headers.get("etag"), age_seconds=self._sender_age, proof=proof
            )
            self._changed()
        self.is_fetched = True
        if not self._is_streaming:
            self._note_good_poll()
        elif self.state == REFUSED:
            self.state = RECONNECTING

    def _note_good_poll(self) -> None:
        self.state, self.error = POLLING, None
        self._good_polls += 1
        if self._good_polls >= _GOOD_POLLS:
            self._pauses.usual.reset()
            self._pauses.lasting.reset()

    def _proof_of(self, response: Response) -> Proof | None:
        """The signatures that came with a snapshot, checked; None where none are asked for. Raises SnapshotError."""
        if self._options.signing_secret is None:
            return None
        # While a secret is being replaced, the server signs with the one before it too.
        found = (response.headers.get(name, "") for name in ("x-signature", "x-signature-previous"))
        signatures = tuple(signature for signature in found if signature)
        check_signature(response.body, self._options.signing_secret, *signatures)
        return Proof(response.body, signatures)

    def _stream(self) -> Logic[None]:
        """Follow the stream until it ends. Raises OSError, SnapshotError, ResyncNeededError, EventTooLargeError."""
        exchange, response = yield from self._open()
        since = self._clock()
        try:
            self._note_stream(response)
            yield from self._follow(exchange)
        except Exception:
            yield from exchange.close()
            self._note_end(since)
            raise
        yield from exchange.close()
        self._note_end(since)
        self._note_lost()
        log.info("the stream ended; connecting again")

    def _open(self) -> Logic[tuple[Exchange, Response]]:
        """Ask for the stream where it is, and go where a server that may do so sends us. Raises OSError."""
        headers = {
            **self._headers,
            "Accept": "text/event-stream",
            "Cache-Control": "no-cache",
            "Last-Event-ID": str(self._configuration.version),
        }
        endpoint, path = self._address.current(), "/api/stream"
        for _ in range(_MOST_REDIRECTS):
            exchange = Exchange(endpoint, self._options.connect_seconds)
            try:
                response = yield from exchange.send("GET", path, headers)
                if response.status >= 400:
                    yield from exchange.read_refusal(response)
            except OSError:
                yield from exchange.close()
                self._address.failed()
                raise
            if response.status == 200 and response.headers.get("content-type", "").startswith("text/event-stream"):
                return exchange, response
            yield from exchange.close()
            target = None
            if response.status in REDIRECTS:
                target = self._address.redirected(endpoint, path, response.headers.get("location", ""))
            if target is None:
                break
            endpoint, path = target
        if response.status not in _KEY_REFUSALS:
            self._address.failed()
        raise StreamRefusedError(response, "GET stream", problem_of(response))

    def _note_stream(self, response: Response) -> None:
        self.state, self.error = STREAMING, None
        self._pauses.lasting.reset()
        # What an earlier failure asked for is no pause after this stream.
        self._pause_seconds = 0.0
        age = age_of(response)
        if age is not None or not self._says_age:
            self._note_age(age or 0.0)
        log.info("following the stream from version %d", self._configuration.version)

    def _note_age(self, seconds: float) -> None:
        self._sender_age = seconds
        self._configuration.confirm(seconds)

    def _note_end(self, since: float) -> None:
        now = self._clock()
        if now - since >= self._options.healthy_seconds:
            self._pauses.usual.reset()
        if self._is_alive:
            # It brought something. One that is cut before that leaves the poll where it was due.
            self._is_alive = False
            self._next_poll_at = now + self._options.poll_after_seconds

    def _follow(self, exchange: Exchange) -> Logic[None]:
        signs = Signs(exchange, self._options.silence_seconds, self._clock)
        try:
            while (sign := (yield from signs.next())) is not None:
                self._is_alive = True
                if sign.has_comment:
                    self._note_age(sign.age_seconds or 0.0)
                elif self._sender_age < self._options.stale_after_seconds:
                    # An event is news. It is no proof where its sender has said that it hears nothing itself.
                    self._configuration.confirm()
                if sign.events:
                    yield from self._take(sign.events)
        finally:
            if signs.retry_milliseconds is not None:
                self._server_retry_seconds = min(signs.retry_milliseconds / 1000, self._options.most_backoff_seconds)

    def _take(self, events: list[ServerEvent]) -> Logic[None]:
        """Apply the events, or fetch the snapshot. Raises SnapshotError, ResyncNeededError, OSError."""
        secret = self._options.signing_secret
        if secret is not None:
            yield from self._take_signed(events, secret)
            return
        for run in runs_of(events):
            prepare = partial(self._configuration.prepare, run)
            is_long = sum(len(event.data) for event in run) > LONG_BYTES
            change = (yield from aside(prepare)) if is_long else prepare()
            if change is not None:
                self._configuration.commit(change)
                self._changed()

    def _take_signed(self, events: list[ServerEvent], secret: str) -> Logic[None]:
        """Apply one signed snapshot, unless it is an old one that somebody replays."""
        proof = _signed(events, secret)
        if proof is not None:
            environment = yield from _compiled(proof.body)
            if environment.version >= self._configuration.version:
                self._configuration.replace(environment, is_from_stream=True, proof=proof)
                self._changed()
                return
        # What bears no signature is taken as news that there is something to fetch.
        told = [version_of(event, is_known=True) for event in events if event.kind in STREAM_KINDS]
        if any(version != self._configuration.version for version in told):
            self._configuration.hear(max(version or 0 for version in told))
            yield from self._resync()

    def _note_lost(self, *, is_polling: bool = True) -> None:
        if self.state != POLLING or not is_polling:
            self.state = RECONNECTING
        self.reconnects += 1

    def _note_refused(self, *, is_stream: bool) -> None:
        """The key is refused. Where that is by the stream alone, the snapshot decides whether it works."""
        self.reconnects += 1
        if not is_stream:
            self.state = REFUSED
        elif self.state not in {POLLING, REFUSED}:
            self.state = RECONNECTING
            self._next_poll_at = self._clock()

    def _note_failure(self, error: Exception, *, is_poll: bool = False) -> None:
        key = self._headers.get("Authorization", "").removeprefix("Bearer ")
        text = str(error) or type(error).__name__
        if key:
            # A server may repeat what it was sent.
            text = text.replace(key, "…")
        if text != self.error:
            is_bug = not isinstance(error, (OSError, *_UNUSABLE))
            version = self._configuration.version
            log.warning("no connection to FlagShip: %s; evaluating version %d", text, version, exc_info=is_bug)
        self.error = text
        self._good_polls = 0
        if isinstance(error, _UNUSABLE):
            self.is_fetched = False
        if isinstance(error, RefusedError) and error.status in _KEY_REFUSALS:
            self._note_refused(is_stream=isinstance(error, StreamRefusedError))
        else:
            self._note_lost(is_polling=not is_poll)
        self._pause_seconds = self._pauses.seconds_after(error)


def _compiled(body: bytes) -> Logic[CompiledEnvironment]:
    """Raises SnapshotError."""
    if len(body) > LONG_BYTES:
        return (yield from aside(partial(parse_snapshot, body)))
    return parse_snapshot(body)


def _signed(events: list[ServerEvent], secret: str) -> Proof | None:
    """The proof of these events where they are one signed snapshot."""
    if len(events) != 1 or events[0].kind != SNAPSHOT:
        return None
    body = events[0].data.encode()
    try:
        check_signature(body, secret, *events[0].signatures)
    except SnapshotError:
        return None
    return Proof(body, events[0].signatures)
