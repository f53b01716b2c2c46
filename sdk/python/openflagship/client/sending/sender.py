"""Sends events in batches, acknowledges versions, and stores the last good snapshot, in the background."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from openflagship.client.following.configuration import Configuration
from openflagship.client.options import Options
from openflagship.client.sending.events import EXPOSURE, EventQueue
from openflagship.client.sending.receipts import Refusal, reason_of, receipt_of, summed_up
from openflagship.client.sending.sinks import EventSink, HttpSink, delivered
from openflagship.client.sending.summaries import Summaries
from openflagship.client.sending.usage import Usage
from openflagship.client.snapshots.copies import write_copy
from openflagship.client.snapshots.stores import SnapshotStore
from openflagship.client.transport.backoff import Backoff, seconds_of
from openflagship.client.transport.effects import Call, Endpoint, Logic, Pause, Turn
from openflagship.client.transport.http import Response, request
from openflagship.ids import uuid7
from openflagship.wire.acknowledgements import Acknowledgement, understanding_of

log = logging.getLogger("openflagship")

MOST_EVENTS_IN_REQUEST = 1_000
# To write more at once would hold up the evaluations of an event loop.
_EXPOSURES_AT_ONCE = 50
_SAVE_EVERY_SECONDS = 5.0
# The same version is kept again with a later time, so that the next start knows how old it is.
_CONFIRM_EVERY_SECONDS = 60.0
_GZIP_FROM_BYTES = 1_024
_ACK_AGAIN_SECONDS = 10.0
_GOODBYE_SECONDS = 1.0
_MOST_RELAYED = 10_000


@dataclass(slots=True, eq=False)
class Batch:
    kind: str
    # Each as JSON.
    events: list[str] = field(repr=False)
    # The same at every attempt, so that the platform takes the batch once.
    id: str = field(default_factory=lambda: str(uuid7()))


class Sender:
    """`run` is the logic for a driver. `ask_flush` requests a flush; `flushes_done` says which are done."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        queue: EventQueue,
        usage: Usage,
        url: str,
        headers: dict[str, str],
        instance: str,
        options: Options,
        store: SnapshotStore | None,
        fingerprint: str = "",
        source: str = "sdk",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = self.rejected = self.lost = 0
        self.error: str | None = None
        self.is_open = False
        self.flushes_asked = self.flushes_done = 0
        self._configuration = configuration
        self._queue = queue
        self._sink = None if isinstance(options.sink, HttpSink) else options.sink
        self._events_endpoint = Endpoint.of(
            options.sink.url if isinstance(options.sink, HttpSink) else url, options.proxy
        )
        self._stream_endpoint = Endpoint.of(options.stream_url or url, options.proxy)
        self._headers = {**headers, "Content-Type": "application/json"}
        self._event_headers = dict(self._headers)
        if isinstance(options.sink, HttpSink):
            # The key is for the platform's eyes alone.
            del self._event_headers["Authorization"]
            self._event_headers.update(options.sink.headers)
        self._instance = instance
        self._options = options
        self._store = store
        self._fingerprint = fingerprint
        self._clock = clock
        self._backoff = Backoff(options.first_backoff_seconds, options.most_backoff_seconds)
        self._waiting: deque[Batch] = deque()
        self._relayed: dict[str, Acknowledgement] = {}
        self._close_by: float | None = None
        self._dropped_said = 0
        self._is_dropping = False
        now = clock()
        self._flush_at = now + options.flush_seconds
        self._retry_at = self._save_at = self._ack_at = now
        # Until then the server wants no events, and gets none, flush or not.
        self._barred_until = now
        named = {"instance": instance, "sdk": headers["X-FlagShip-SDK"], "source": source}
        self._summaries = Summaries(usage, named, options.usage_seconds, clock, is_on=options.is_sending_events)
        self._saved_version = self._acked_version = -1
        self._saved_at: float | None = None

    @property
    def pending(self) -> int:
        return len(self._queue) + sum(len(batch.events) for batch in self._waiting)

    def ask_flush(self) -> int:
        """Request an attempt to send everything now. `flushes_done` reaches the returned number after the attempt."""
        self.flushes_asked += 1
        return self.flushes_asked

    def ask_close(self, within_seconds: float) -> None:
        """Make `run` send the remaining events and end; it gives up after that time."""
        self._close_by = self._clock() + within_seconds

    def relay_acknowledgement(self, said: Acknowledgement) -> None:
        """Pass on what a client of this edge has applied and understands. Only its latest version matters."""
        if len(self._relayed) < _MOST_RELAYED or said.instance in self._relayed:
            self._relayed[said.instance] = said

    def note_stored(self) -> None:
        """Note that the configuration came from the store and need not be written back."""
        self._saved_version = self._configuration.version
        self._saved_at = self._configuration.confirmed_at_unix

    def run(self) -> Logic[None]:
        """Run until `ask_close`."""
        while self._close_by is None:
            asked = self.flushes_asked
            self._summaries.sum_up()
            if self._is_flush_due(asked):
                yield from self._flush(is_asked=asked > self.flushes_done)
                self.flushes_done = max(self.flushes_done, asked)
            yield from self._summaries.send(self._post_text, self._sink)
            yield from self._acknowledge()
            yield from self._save()
            if self._close_by is None and self.flushes_asked <= self.flushes_done:
                yield Pause(self._idle_seconds())
        yield from self._close()

    def run_flush(self, seconds: float) -> Logic[None]:
        """Send everything now, for at most that time, and say which version is applied; nothing is left to run."""
        until = self._clock() + seconds
        while True:
            yield from self._flush(is_asked=True)
            if not self.pending or self._clock() >= until:
                break
            yield Pause(min(0.2, max(0.0, until - self._clock())))
        self._summaries.sum_up()
        yield from self._summaries.send(self._post_text, self._sink)
        yield from self._acknowledge()
        yield from self._save()

    def _is_flush_due(self, asked: int) -> bool:
        now = self._clock()
        if asked > self.flushes_done:
            return True
        if now < self._retry_at:
            return False
        return bool(self._waiting) or now >= self._flush_at or len(self._queue) >= self._options.flush_count

    def _idle_seconds(self) -> float:
        now = self._clock()
        times = [self._flush_at, self._summaries.due_at]
        if self._waiting:
            times = [max(self._retry_at, now), self._summaries.due_at]
        if not self._queue and not self._waiting:
            # There is nothing to send. The first event does not wake the sender, so look again after the window.
            times = [now + self._options.flush_seconds, self._summaries.due_at]
        if self._configuration.source == "server":
            # What came from elsewhere is neither kept nor acknowledged.
            if self._store is not None and self._saved_version != self._configuration.version:
                times.append(self._save_at)
            if self._acked_version != self._configuration.version or self._relayed:
                times.append(self._ack_at)
        return max(0.01, min(times) - now)

    def _flush(self, *, is_asked: bool) -> Logic[None]:
        """Send the waiting batches, then the queued events; stop at the first failure.

        Events that arrive meanwhile wait for the next batch, unless a flush was requested: at full load there are
        always some.
        """
        now = self._clock()
        if now >= self._flush_at:
            if not self._waiting:
                # Unsent events still belong to their window: while the server is away, repeats must not take the room
                # of new events.
                self._queue.begin_window()
            self._flush_at = now + self._options.flush_seconds
        self._say_dropped()
        if not self._options.is_sending_events or now < (self._barred_until if is_asked else self._retry_at):
            return
        is_enough = False
        while not is_enough:
            queued = self._queue.counts()
            while batch := (yield from self._next_batch(queued)):
                if not (yield from self._send(batch)):
                    return
                if batch in self._waiting:
                    self._waiting.remove(batch)
            is_enough = not (is_asked and self._queue)

    def _say_dropped(self) -> None:
        """Warn once when the queue starts to drop events, and once when events can be sent again."""
        dropped = self._queue.dropped - self._dropped_said
        if dropped and (self.error is None or not self._is_dropping):
            log.warning("%d events found no room and were dropped", dropped)
            self._dropped_said += dropped
            self._is_dropping = True
        elif self.error is None:
            self._is_dropping = False

    def _next_batch(self, queued: dict[str, int]) -> Logic[Batch | None]:
        """The waiting batch, or else the next one of the `queued` events of each kind."""
        if self._waiting:
            return self._waiting[0]
        for kind in tuple(queued):
            batch = Batch(kind, [])
            # From the start, so that its events are not lost where this ends halfway.
            self._waiting.append(batch)
            at_once = _EXPOSURES_AT_ONCE if kind == EXPOSURE else MOST_EVENTS_IN_REQUEST
            # The hook may drop all of a thousand, and more may wait behind them.
            while queued[kind] and (not batch.events or len(batch.events) + at_once <= MOST_EVENTS_IN_REQUEST):
                batch.events += self._queue.take(kind, min(queued[kind], at_once))
                queued[kind] = max(0, queued[kind] - at_once)
                yield Turn()
            if batch.events:
                return batch
            self._waiting.remove(batch)
        return None

    def _send(self, batch: Batch) -> Logic[bool]:
        """Send the batch; true where it is finished: accepted, or refused for good."""
        if self._sink is not None:
            return (yield from self._hand_over(batch, self._sink))
        try:
            response = yield from self._post(batch)
        except OSError as error:
            self._note_failure(str(error) or type(error).__name__, None)
            return False
        receipt = receipt_of(response)
        if receipt is not None:
            self._note_accepted(batch, receipt)
            return True
        if response.status == 413 and len(batch.events) > 1:
            half = len(batch.events) // 2
            self._waiting.appendleft(Batch(batch.kind, batch.events[half:]))
            self._waiting.appendleft(Batch(batch.kind, batch.events[:half]))
            return True
        if response.status in {400, 413, 422}:
            self.lost += len(batch.events)
            reason = reason_of(response)
            log.warning(
                "the server refused %d events with %d%s: they are dropped", len(batch.events), response.status, reason
            )
            return True
        is_no_receipt = " without a receipt" if response.status < 300 else ""
        text = f"the server answered {response.status}{is_no_receipt} to events{reason_of(response)}"
        self._note_failure(text, response.headers.get("retry-after"))
        return False

    def _hand_over(self, batch: Batch, sink: EventSink) -> Logic[bool]:
        error = yield Call(lambda: delivered(sink, batch.kind, batch.events))
        if error is not None:
            self._note_failure(f"the sink failed: {type(error).__name__}: {error}", None)
            return False
        self._note_accepted(batch, [])
        return True

    def _post(self, batch: Batch) -> Logic[Response]:
        return (yield from self._post_text(batch.kind, batch.id, f'{{"events":[{",".join(batch.events)}]}}'))

    def _post_text(self, kind: str, payload_id: str, text: str) -> Logic[Response]:
        body = text.encode()
        headers = {**self._event_headers, "Idempotency-Key": payload_id}
        if len(body) >= _GZIP_FROM_BYTES:
            # The fastest level, because this may run on an event loop; events in one batch are alike anyway.
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        seconds = self._options.connect_seconds
        if self._close_by is not None:
            seconds = max(0.1, min(seconds, self._close_by - self._clock()))
        path = f"/api/events/{kind}"
        return (yield from request(self._events_endpoint, "POST", path, headers, body, timeout_seconds=seconds))

    def _note_accepted(self, batch: Batch, refused: list[Refusal]) -> None:
        if refused:
            log.warning("the server rejected %d of %d events: %s", len(refused), len(batch.events), summed_up(refused))
        self.error, self.is_open = None, False
        self._backoff.reset()
        self._retry_at = self._barred_until = self._clock()
        # Counted last: a reader that sees the events counted also sees the breaker closed.
        self.rejected += len(refused)
        self.sent += len(batch.events) - len(refused)

    def _note_failure(self, text: str, retry_after: str | None) -> None:
        if text != self.error:
            log.warning("events could not be sent: %s; %d wait", text, self.pending)
        self.error = text
        seconds = self._backoff.next_seconds()
        if self._backoff.failures >= self._options.breaker_failures:
            # The breaker is open: after a pause one batch is tried, and its success closes the breaker.
            self.is_open = True
            seconds = max(seconds, self._options.breaker_seconds)
        wanted = seconds_of(retry_after)
        if wanted:
            seconds = max(seconds, wanted)
            self._barred_until = self._clock() + wanted
        self._retry_at = self._clock() + seconds

    def _acknowledge(self) -> Logic[None]:
        """Tell the server which version is applied. Only the latest matters, so a failure is retried later."""
        # Read once, so that version and understanding belong together.
        environment = self._configuration.environment
        if self._configuration.source != "server" or self._clock() < self._ack_at:
            return
        if environment.version != self._acked_version:
            sdk, understood = self._headers["X-FlagShip-SDK"], understanding_of(environment)
            mine = Acknowledgement(self._instance, environment.version, sdk, understood)
            if (yield from self._send_acknowledgement(mine)):
                self._acked_version = environment.version
        while self._relayed and self._clock() >= self._ack_at:
            instance, said = next(iter(self._relayed.items()))
            del self._relayed[instance]
            if not (yield from self._send_acknowledgement(said)):
                self._relayed.setdefault(instance, said)

    def _send_acknowledgement(self, said: Acknowledgement, *, timeout_seconds: float | None = None) -> Logic[bool]:
        body = json.dumps(said.body).encode()
        try:
            response = yield from request(
                self._stream_endpoint,
                "POST",
                "/api/stream/ack",
                self._headers,
                body,
                timeout_seconds=timeout_seconds or self._options.connect_seconds,
            )
        except OSError:
            self._ack_at = self._clock() + _ACK_AGAIN_SECONDS
            return False
        # A server without this route, or one that refuses, would do so again: wait for the next version.
        if response.status < 500 and response.status != 429:
            return True
        self._ack_at = self._clock() + _ACK_AGAIN_SECONDS
        return False

    def _save(self) -> Logic[None]:
        environment, proof = self._configuration.held()
        is_due = self._clock() >= self._save_at or self._close_by is not None
        if self._store is None or self._configuration.source != "server" or not is_due:
            return
        confirmed_at = self._configuration.confirmed_at_unix
        least = 1.0 if self._close_by is not None else _CONFIRM_EVERY_SECONDS
        is_newer = (confirmed_at or 0.0) > (self._saved_at or 0.0) + least
        if environment.version == self._saved_version and not is_newer:
            return
        store = self._store

        def save() -> bool:
            try:
                copy = write_copy(environment.text(), proof, self._fingerprint, confirmed_at)
                store.save(copy, environment.version)
            except Exception as error:  # noqa: BLE001 - a store may be foreign code; the copy is a precaution
                log.warning("the snapshot could not be stored: %s", error)
                return False
            return True

        if (yield Call(save)):
            self._saved_version, self._saved_at = environment.version, confirmed_at
        self._save_at = self._clock() + _SAVE_EVERY_SECONDS

    def _close(self) -> Logic[None]:
        close_by = self._close_by if self._close_by is not None else self._clock()
        while self.pending and self._options.is_sending_events and self._clock() < close_by:
            self._retry_at = self._clock()
            yield from self._flush(is_asked=True)
            if self.error is not None and self.pending:
                yield Pause(min(0.2, max(0.0, close_by - self._clock())))
        if self.pending and self._options.is_sending_events:
            self.lost += self.pending
            log.warning("closed with %d events that could not be sent", self.pending)
        self._summaries.sum_up(is_last=True)
        yield from self._summaries.send(self._post_text, self._sink)
        yield from self._save()
        yield from self._say_goodbye(close_by)

    def _say_goodbye(self, close_by: float) -> Logic[None]:
        """Tell the server that nobody needs to wait for this instance any more, where it has heard of it."""
        if self._acked_version < 0:
            return
        seconds = min(_GOODBYE_SECONDS, max(0.1, close_by - self._clock()))
        version = self._configuration.version
        mine = Acknowledgement(self._instance, version, self._headers["X-FlagShip-SDK"], is_goodbye=True)
        yield from self._send_acknowledgement(mine, timeout_seconds=seconds)
