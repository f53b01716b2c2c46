"""Follows the configuration: first a snapshot, then the stream. It polls while there is no stream."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final

from openflagship.client.backoff import Backoff
from openflagship.client.configuration import (
    Configuration,
    ResyncNeededError,
    SnapshotError,
    check_signature,
    parse_snapshot,
)
from openflagship.client.effects import Endpoint, Logic, Pause
from openflagship.client.http import Exchange, Response, request
from openflagship.client.options import Options
from openflagship.client.sse import EventParser, EventTooLargeError, ServerEvent
from openflagship.stream_kinds import SNAPSHOT

log = logging.getLogger("openflagship")

STARTING: Final = "starting"
STREAMING: Final = "streaming"
POLLING: Final = "polling"
RECONNECTING: Final = "reconnecting"
REFUSED: Final = "refused"
_MOST_RETRY_AFTER_SECONDS = 600.0


class RefusedError(OSError):
    """The server answered with a status that was not asked for."""

    def __init__(self, response: Response, what: str) -> None:
        super().__init__(f"the server answered {response.status} to {what}")
        self.status = response.status
        said = response.headers.get("retry-after", "")
        # It may be a date as well, which nobody sends here.
        self.retry_after_seconds = min(float(said), _MOST_RETRY_AFTER_SECONDS) if said.isdecimal() else 0.0


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
        self.state = STARTING
        self.error: str | None = None
        self.reconnects = 0
        self.is_fetched = False
        self._configuration = configuration
        self._api = Endpoint.of(url, options.proxy)
        self._stream_endpoint = Endpoint.of(options.stream_url or url, options.proxy)
        self._headers = headers
        self._options = options
        self._changed = changed
        self._clock = clock
        self._backoff = Backoff(options.first_backoff_seconds, options.most_backoff_seconds)
        self._server_retry_seconds: float | None = None
        self._retry_after_seconds = 0.0
        self._lost_at = clock()
        self._next_poll_at = self._lost_at + options.poll_after_seconds

    def run(self) -> Logic[None]:
        """Run until the driver stops it."""
        while True:
            try:
                if not self.is_fetched or not self._options.is_streaming:
                    yield from self._fetch()
                if self._options.is_streaming:
                    yield from self._stream()
            except (OSError, SnapshotError, ResyncNeededError, EventTooLargeError) as error:
                self._note_failure(error)
            yield from self._wait()

    def run_once(self) -> Logic[None]:
        """Ask for the snapshot once; `error` says what was wrong."""
        try:
            yield from self._fetch()
        except (OSError, SnapshotError) as error:
            self._note_failure(error)

    def _wait(self) -> Logic[None]:
        """Wait for the next attempt at a stream, and poll meanwhile when it is due."""
        if not self._options.is_streaming:
            seconds = self._poll_seconds() if self.error is None else self._backoff.next_seconds()
        else:
            seconds = self._backoff.next_seconds()
            if self._server_retry_seconds is not None:
                seconds, self._server_retry_seconds = self._server_retry_seconds, None
        # Jittered upwards, so that all who were refused at once do not come back at once.
        seconds = max(seconds, self._retry_after_seconds * random.uniform(1.0, 1.25))  # noqa: S311 - see _poll_seconds
        self._retry_after_seconds = 0.0
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            to_stale = self._configuration.seconds_to_stale
            yield Pause(left if to_stale is None else min(left, to_stale + 0.01))
            self._configuration.check_staleness()
        self._configuration.check_staleness()
        if self._options.is_streaming and self.is_fetched and self._clock() >= self._next_poll_at:
            yield from self._poll()

    def _poll(self) -> Logic[None]:
        """Ask for the snapshot. The client counts as polling while that succeeds, whatever happens to the stream."""
        self.state = POLLING
        self._next_poll_at = self._clock() + self._poll_seconds()
        try:
            yield from self._fetch()
        except (OSError, SnapshotError) as error:
            self.state = RECONNECTING
            self._note_failure(error)

    def _poll_seconds(self) -> float:
        return self._options.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret

    def _fetch(self) -> Logic[None]:
        """Fetch the snapshot, unless the present one is current. Raises OSError, SnapshotError."""
        headers = {**self._headers, "Accept": "application/json", "Accept-Encoding": "gzip"}
        etag = self._configuration.etag
        if etag is not None:
            headers["If-None-Match"] = etag
        response = yield from request(
            self._api, "GET", "/api/snapshot", headers, timeout_seconds=self._options.connect_seconds
        )
        if response.status == 304:
            self._configuration.confirm()
        elif response.status != 200:
            raise RefusedError(response, "GET snapshot")
        else:
            if self._options.signing_secret is not None:
                # While a secret is being replaced, the server signs with the one before it too.
                signatures = (response.headers.get(name, "") for name in ("x-signature", "x-signature-previous"))
                check_signature(response.body, self._options.signing_secret, *signatures)
            self._configuration.replace(parse_snapshot(response.body), response.headers.get("etag"))
            self._changed()
        self.is_fetched = True
        if not self._options.is_streaming:
            self.state, self.error = POLLING, None
            self._backoff.reset()

    def _stream(self) -> Logic[None]:
        """Follow the stream until it ends. Raises OSError, SnapshotError, ResyncNeededError, EventTooLargeError."""
        exchange = Exchange(self._stream_endpoint, self._options.connect_seconds)
        headers = {
            **self._headers,
            "Accept": "text/event-stream",
            "Cache-Control": "no-cache",
            "Last-Event-ID": str(self._configuration.version),
        }
        try:
            response = yield from exchange.send("GET", "/api/stream", headers)
            if response.status != 200 or not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise RefusedError(response, "GET stream")
            yield from self._follow(exchange)
        except (OSError, SnapshotError, ResyncNeededError, EventTooLargeError):
            yield from self._end(exchange)
            raise
        yield from self._end(exchange)
        self._note_lost()
        log.info("the stream ended; connecting again")

    def _end(self, exchange: Exchange) -> Logic[None]:
        yield from exchange.close()
        if self.state == STREAMING:
            self._lost_at = self._clock()
            self._next_poll_at = self._lost_at + self._options.poll_after_seconds

    def _follow(self, exchange: Exchange) -> Logic[None]:
        parser = EventParser()
        silence = self._options.silence_seconds
        while data := (yield from exchange.read(silence)):
            if self.state != STREAMING:
                self.state, self.error = STREAMING, None
                self._backoff.reset()
                log.info("following the stream from version %d", self._configuration.version)
            events = parser.feed(data)
            if parser.retry_milliseconds is not None:
                self._server_retry_seconds = min(parser.retry_milliseconds / 1000, self._options.most_backoff_seconds)
            self._configuration.confirm()
            if not events:
                continue
            if self._options.signing_secret is None or self._is_signed(events, self._options.signing_secret):
                if self._configuration.apply(events):
                    self._changed()
            elif any(event.kind == SNAPSHOT or event.id != str(self._configuration.version) for event in events):
                # What bears no signature is taken as news that there is something to fetch.
                yield from self._fetch()

    def _is_signed(self, events: list[ServerEvent], secret: str) -> bool:
        """Whether this is one signed snapshot, and not an old one that somebody replays."""
        if len(events) != 1 or events[0].kind != SNAPSHOT:
            return False
        body = events[0].data.encode()
        try:
            check_signature(body, secret, *events[0].signatures)
        except SnapshotError:
            return False
        return parse_snapshot(body).version >= self._configuration.version

    def _note_lost(self) -> None:
        if self.state != POLLING:
            self.state = RECONNECTING
        self.reconnects += 1

    def _note_failure(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self.error:
            log.warning("no connection to FlagShip: %s; evaluating version %d", text, self._configuration.version)
        self.error = text
        if not isinstance(error, OSError):
            self.is_fetched = False
        self._note_lost()
        if isinstance(error, RefusedError):
            self._retry_after_seconds = error.retry_after_seconds
        if isinstance(error, RefusedError) and error.status in {401, 403}:
            self.state = REFUSED
