"""The queue of exposures and conversions: bounded, without repeats, and cheap for the evaluation that adds to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from json.encoder import encode_basestring_ascii
from time import time_ns as _now_ns
from typing import Any, Final, TypeAlias

from openflagship.client.context import warn_once
from openflagship.client.options import BeforeSend, Options
from openflagship.engine import Answer
from openflagship.engine.bucketing import is_well_formed
from openflagship.engine.natives import plain
from openflagship.ids import uuid7

log = logging.getLogger("openflagship")

EXPOSURE: Final = "exposure"
_PREFETCHED: Final = '"prefetched":true,'
CONVERSION: Final = "conversion"
METRIC: Final = "metrics"
# flag, unit, variant, version: what makes two exposures one.
Mark: TypeAlias = tuple[str, str, str | None, int]
_MOST_NAME_CHARACTERS = 200
_MOST_UNIT_CHARACTERS = 1024
_MOST_WRITTEN = 10_000
# What a waiting exposure takes beside its unit: the tuple, its instant, its place in the queue and in `seen`.
_EXPOSURE_BYTES: Final = 300
_MOST_BATCH_BYTES: Final = 4_000_000


def _native(value: Any) -> Any:
    found = plain(value)
    return list(found) if isinstance(found, (set, frozenset)) else found


_to_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_native).encode
_to_characters: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_native).encode


def _json_of(document: Mapping[str, Any]) -> str:
    """The document as ASCII. Raises ValueError for what JSON or the server cannot take.

    Half of a character in one event would cost the whole batch: no server can read the body.
    """
    try:
        text = _to_json(document)
        is_whole = "\\ud" not in text or is_well_formed(_to_characters(document))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it holds what JSON cannot say: {str(error) or type(error).__name__}") from None
    if not is_whole:
        raise ValueError("it holds half of a surrogate pair, which is no character")
    if "\\u0000" in text:
        raise ValueError("it holds the character U+0000, which cannot be stored")
    return text


class EventQueue:
    """Any thread adds events without a lock or I/O; the sender takes them. A full queue drops new events."""

    def __init__(self, options: Options, *, source: str = "sdk-python", wake: Callable[[], None]) -> None:
        """The thread that fills a batch calls `wake`."""
        self.dropped = 0
        self._options = options
        # Of each kind, so that asking costs an evaluation nothing.
        self._most_events = options.most_events
        self._flush_count = options.flush_count
        self._source = source
        self._wake = wake
        self._exposures: deque[tuple[str, str, Answer, int, str | None, bool]] = deque()
        # Each as it was at the call: unit, instant, the rest as JSON.
        self._conversions: deque[tuple[str, int, str]] = deque()
        self._metrics: deque[tuple[str, int, str]] = deque()
        self._most_bytes = options.most_bytes
        self._bytes = 0
        self.is_closed = False
        self.seen: set[Mark] = set()
        # By the answer's `id()`: it belongs to a configuration and is shared by all evaluations that end alike.
        self._written: dict[int, _Written] = {}
        self._second, self._second_text = -1, ""
        self._is_woken = False
        self._is_on = options.is_sending_events and not options.is_offline
        self._hash_key = None if options.hash_key is None else options.hash_key.encode()

    def __len__(self) -> int:
        return len(self._exposures) + len(self._conversions) + len(self._metrics)

    def counts(self) -> dict[str, int]:
        """The number of waiting events of each kind, in the order of sending."""
        return {EXPOSURE: len(self._exposures), CONVERSION: len(self._conversions), METRIC: len(self._metrics)}

    def end(self) -> None:
        """Take no more events: nobody sends them any longer."""
        self._is_on, self.is_closed = False, True

    def _has_room(self, waiting: int, size: int) -> bool:
        if waiting >= self._most_events or self._bytes + size > self._most_bytes:
            self.dropped += 1
            return False
        self._bytes += size
        return True

    def _refuse_late(self) -> None:
        warn_once("", "closed", "the client is closed: exposures and events are no longer recorded")

    def expose(self, mark: Mark, answer: Answer) -> None:
        """Queue an exposure. Call it only for marks that are not in `seen`."""
        if not self._is_on:
            if self.is_closed:
                self._refuse_late()
            return
        exposures = self._exposures
        waiting = len(exposures)
        if not self._has_room(waiting, _EXPOSURE_BYTES + len(mark[1])):
            return
        # Adding to a set is atomic; two threads at once may at worst let one repeat through.
        self.seen.add(mark)
        exposures.append((mark[0], mark[1], answer, _now_ns() // 1_000_000, None, False))
        if waiting + 1 >= self._flush_count and not self._is_woken:
            self._wake_once()

    def expose_each(  # noqa: PLR0917 an edge's hot path: keywords would cost a third more
        self,
        evaluation_id: str,
        flag_key: str,
        unit: str,
        answer: Answer,
        unix_ms: int,
        is_prefetched: bool = False,
    ) -> None:
        """Like `expose`, under an id that a caller has already; repeats are not left out.

        `is_prefetched`: of a bulk answer, which its user need not have seen.
        """
        if not self._is_on:
            return
        exposures = self._exposures
        waiting = len(exposures)
        if not self._has_room(waiting, _EXPOSURE_BYTES + len(unit)):
            return
        exposures.append((flag_key, unit, answer, unix_ms, evaluation_id, is_prefetched))
        if waiting + 1 >= self._flush_count and not self._is_woken:
            self._wake_once()

    def track(
        self,
        name: str,
        unit: str,
        value: float | None,
        properties: Mapping[str, Any] | None,
        *,
        is_metric: bool = False,
    ) -> None:
        """Queue a conversion, or a metric's value, as it is now. Raises ValueError for what the server would refuse."""
        if not isinstance(name, str) or not name or len(name) > _MOST_NAME_CHARACTERS:
            raise ValueError(f"an event's name has 1 to {_MOST_NAME_CHARACTERS} characters")
        if not unit or len(unit) > _MOST_UNIT_CHARACTERS:
            raise ValueError(f"a user id has 1 to {_MOST_UNIT_CHARACTERS} characters")
        if "\x00" in unit or not is_well_formed(unit):
            raise ValueError("a user id holds neither U+0000 nor half of a surrogate pair")
        if value is not None and not math.isfinite(value):
            raise ValueError("a conversion's value must be a finite number")
        if not self._is_on:
            if self.is_closed:
                self._refuse_late()
            return
        rest: dict[str, Any] = {"metricKey" if is_metric else "eventName": name}
        if value is not None:
            rest["value"] = value
        if properties:
            rest["properties"] = dict(properties)
        text = _json_of(rest)
        waiting = self._metrics if is_metric else self._conversions
        if not self._has_room(len(waiting), len(text) + len(unit)):
            return
        waiting.append((unit, _now_ns() // 1_000_000, text))
        if len(self) >= self._flush_count and not self._is_woken:
            self._wake_once()

    def _wake_once(self) -> None:
        # "At least", and once: threads that count at the same moment may all miss the very number.
        self._is_woken = True
        self._wake()

    def begin_window(self) -> None:
        """Start a new window: an exposure that was seen before counts as new again."""
        if self.seen:
            self.seen = set()
        # Answers of configurations that are gone must not stay for it.
        self._written.clear()

    def take(self, kind: str, most: int) -> list[str]:
        """The first `most` events in the API's form, each as ASCII JSON, after `before_send` and hashing."""
        self._is_woken = False
        if len(self.seen) > self._most_events:
            # Within one window as many marks as there are users may pass; memory is worth more than a repeat.
            self.seen = set()
        if kind == EXPOSURE:
            texts = self._take_exposures(most)
        else:
            texts = self._take_tracked(self._metrics if kind == METRIC else self._conversions, most)
        if not len(self):
            # Sums of several threads may drift; an empty queue is empty.
            self._bytes = 0
        return texts

    def _take_exposures(self, most: int) -> list[str]:
        """One loop without calls, because an edge runs it on its event loop for all its answers."""
        exposures, all_written, hash_key = self._exposures, self._written, self._hash_key
        texts, last_ms, instant, freed = [], -1, "", 0
        for _ in range(min(most, len(exposures))):
            flag_key, unit, answer, unix_ms, evaluation_id, is_prefetched = exposures.popleft()
            written = all_written.get(id(answer))
            if written is None or written.flag_key != flag_key:
                if len(all_written) >= _MOST_WRITTEN:
                    all_written.clear()
                written = all_written[id(answer)] = _Written(flag_key, answer, self._source)
            if unix_ms != last_ms:
                last_ms, instant = unix_ms, self._instant(unix_ms)
            freed += _EXPOSURE_BYTES + len(unit)
            user_id = encode_basestring_ascii(unit if hash_key is None else self._unit(unit))
            named = evaluation_id or uuid7(unix_ms)
            marked = _PREFETCHED if is_prefetched else ""
            texts.append(
                f'{{"evaluationId":"{named}",{marked}{written.flag}{user_id},{written.variant}{instant}{written.tail}'
            )
        self._bytes -= freed
        before_send = self._options.before_send
        if before_send is None:
            return texts
        return [said for text in texts if (said := _sayable(_asked(before_send, json.loads(text))))]

    def _take_tracked(self, waiting: deque[tuple[str, int, str]], most: int) -> list[str]:
        before_send = self._options.before_send
        texts: list[str] = []
        size = 0
        for _ in range(min(most, len(waiting))):
            unit, unix_ms, rest = waiting.popleft()
            self._bytes -= len(rest) + len(unit)
            user_id = encode_basestring_ascii(self._unit(unit))
            text = f'{{"id":"{uuid7(unix_ms)}","userId":{user_id},"timestamp":"{self._instant(unix_ms)}",{rest[1:]}'
            if before_send is not None:
                text = _sayable(_asked(before_send, json.loads(text)))
            if text:
                texts.append(text)
            size += len(text)
            if size >= _MOST_BATCH_BYTES:
                break
        return texts

    def _unit(self, unit: str) -> str:
        if self._hash_key is None:
            return unit
        return hmac.new(self._hash_key, unit.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _instant(self, unix_ms: int) -> str:
        second, milliseconds = divmod(unix_ms, 1_000)
        if second != self._second:
            # Many events share their second.
            at = datetime.fromtimestamp(second, timezone.utc)  # noqa: UP017 - Python 3.10
            self._second, self._second_text = second, at.isoformat()[:19]
        return f"{self._second_text}.{milliseconds:03d}+00:00"


class _Written:
    """What the exposures of one answer have in common, encoded once."""

    __slots__ = ("answer", "flag", "flag_key", "tail", "variant")

    def __init__(self, flag_key: str, answer: Answer, source: str) -> None:
        # Kept, so that nothing else can come to have its `id()`.
        self.answer = answer
        self.flag_key = flag_key
        self.flag = f'"flagKey":{_to_json(flag_key)},"userId":'
        self.variant = f'"variant":{_to_json(answer.variant)},"timestamp":"'
        rest: dict[str, Any] = {"source": source, "reason": answer.reason, "configVersion": answer.config_version}
        if answer.rule_id is not None:
            rest["ruleId"] = answer.rule_id
        if answer.experiment is not None:
            rest["experiment"] = answer.experiment
        self.tail = f'",{_to_json(rest)[1:]}'


def _sayable(event: dict[str, Any]) -> str:
    """The event as JSON; empty where there is no event, or where JSON cannot express it."""
    if not event:
        return ""
    try:
        return _json_of(event)
    except ValueError as error:
        log.warning("an event is dropped: %s", error)
        return ""


def _asked(before_send: BeforeSend, event: dict[str, Any]) -> dict[str, Any]:
    """The event after the hook; empty where none is to be sent. A failed hook stops the event: it may hold secrets."""
    try:
        changed: Any = before_send(event)
    except Exception:
        log.exception("before_send failed; the event is not sent")
        return {}
    if changed is not None and not isinstance(changed, dict):
        log.warning("before_send gave %s in place of an event, which is not sent", type(changed).__name__)
        return {}
    return changed or {}
