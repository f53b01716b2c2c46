"""Exposures and conversions on their way out: collapsed, bounded, and cheap where an evaluation pays for them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from time import time_ns as _now_ns
from typing import Any, Final, TypeAlias

from openflagship.client.options import BeforeSend, Options
from openflagship.engine import Answer
from openflagship.ids import uuid7

log = logging.getLogger("openflagship")

EXPOSURE: Final = "exposure"
CONVERSION: Final = "conversion"
# flag, unit, variant, version: what makes two exposures one.
Mark: TypeAlias = tuple[str, str, str | None, int]
_MOST_NAME_CHARACTERS = 200
_MOST_UNIT_CHARACTERS = 1024


class EventQueue:
    """Filled by any thread without a lock or I/O, emptied by the sender. Past its bound, new events are dropped."""

    def __init__(self, options: Options, *, source: str = "sdk-python", wake: Callable[[], None]) -> None:
        """`wake` is called when a batch is full, in whichever thread filled it."""
        self.dropped = 0
        self._options = options
        # Of each kind, so that asking costs an evaluation nothing.
        self._most_events = options.most_events
        self._flush_count = options.flush_count
        self._source = source
        self._wake = wake
        self._exposures: deque[tuple[Mark, Answer, int, str | None]] = deque()
        self._conversions: deque[tuple[str, str, float | None, Mapping[str, Any] | None, int]] = deque()
        self.seen: set[Mark] = set()
        self._is_woken = False
        self._is_on = options.is_sending_events and not options.is_offline
        self._hash_key = None if options.hash_key is None else options.hash_key.encode()

    def __len__(self) -> int:
        return len(self._exposures) + len(self._conversions)

    def expose(self, mark: Mark, answer: Answer) -> None:
        """Queue an exposure; call it for marks that are not in `seen`."""
        if not self._is_on:
            return
        exposures = self._exposures
        waiting = len(exposures)
        if waiting >= self._most_events:
            self.dropped += 1
            return
        # Adding to a set is atomic; two threads at once may at worst let one repeat through.
        self.seen.add(mark)
        exposures.append((mark, answer, _now_ns(), None))
        if waiting + 1 >= self._flush_count and not self._is_woken:
            self._wake_once()

    def expose_each(self, evaluation_id: str, flag_key: str, unit: str, answer: Answer) -> None:
        """As `expose`, under an id that was given away already, so nothing is collapsed."""
        if not self._is_on:
            return
        if len(self) >= self._most_events:
            self.dropped += 1
            return
        mark = (flag_key, unit, answer.variant, answer.config_version)
        self._exposures.append((mark, answer, _now_ns(), evaluation_id))
        if len(self) >= self._flush_count and not self._is_woken:
            self._wake_once()

    def track(self, event_name: str, unit: str, value: float | None, properties: Mapping[str, Any] | None) -> None:
        """Raises ValueError for what the server would refuse."""
        if not event_name or len(event_name) > _MOST_NAME_CHARACTERS:
            raise ValueError(f"an event's name has 1 to {_MOST_NAME_CHARACTERS} characters")
        if not unit or len(unit) > _MOST_UNIT_CHARACTERS:
            raise ValueError(f"a user id has 1 to {_MOST_UNIT_CHARACTERS} characters")
        if value is not None and not math.isfinite(value):
            raise ValueError("a conversion's value must be a finite number")
        if not self._is_on:
            return
        if len(self._conversions) >= self._most_events:
            self.dropped += 1
            return
        self._conversions.append((event_name, unit, value, properties, _now_ns()))
        if len(self) >= self._flush_count and not self._is_woken:
            self._wake_once()

    def _wake_once(self) -> None:
        # "At least", and once: threads that count at the same moment may all miss the very number.
        self._is_woken = True
        self._wake()

    def begin_window(self) -> None:
        """From here on an exposure that was seen before counts as new."""
        if self.seen:
            self.seen = set()

    def forget(self) -> None:
        """Drop everything: after a fork it is the parent's to send."""
        self._exposures = deque()
        self._conversions = deque()
        self.seen = set()
        self._is_woken = False
        self.dropped = 0

    def take(self, kind: str, most: int) -> list[dict[str, Any]]:
        """Up to `most` events as the API wants them, `before_send` and hashing done."""
        events: list[dict[str, Any]] = []
        self._is_woken = False
        if len(self.seen) > self._most_events:
            # Within one window as many marks as there are users may pass; memory is worth more than a repeat.
            self.seen = set()
        queue = self._exposures if kind == EXPOSURE else self._conversions
        while queue and len(events) < most:
            event = (
                self._exposure(*self._exposures.popleft())
                if kind == EXPOSURE
                else self._conversion(*self._conversions.popleft())
            )
            if self._options.before_send is not None:
                event = _asked(self._options.before_send, event)
            if event:
                events.append(event)
        return events

    def _exposure(self, mark: Mark, answer: Answer, at_ns: int, evaluation_id: str | None) -> dict[str, Any]:
        flag_key, unit, variant, version = mark
        event: dict[str, Any] = {
            "evaluationId": evaluation_id or str(uuid7(at_ns // 1_000_000)),
            "flagKey": flag_key,
            "userId": self._unit(unit),
            "variant": variant,
            "timestamp": _instant(at_ns),
            "source": self._source,
            "reason": answer.reason,
            "configVersion": version,
        }
        if answer.rule_id is not None:
            event["ruleId"] = answer.rule_id
        if answer.experiment is not None:
            event["experiment"] = answer.experiment
        return event

    def _conversion(
        self, event_name: str, unit: str, value: float | None, properties: Mapping[str, Any] | None, at_ns: int
    ) -> dict[str, Any]:
        event: dict[str, Any] = {
            "id": str(uuid7(at_ns // 1_000_000)),
            "userId": self._unit(unit),
            "eventName": event_name,
            "timestamp": _instant(at_ns),
        }
        if value is not None:
            event["value"] = value
        if properties:
            event["properties"] = dict(properties)
        return event

    def _unit(self, unit: str) -> str:
        if self._hash_key is None:
            return unit
        return hmac.new(self._hash_key, unit.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _instant(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - Python 3.10


def _asked(before_send: BeforeSend, event: dict[str, Any]) -> dict[str, Any]:
    """What is to be sent; empty where nothing is. An event that the hook fails on stays here: it may hold secrets."""
    try:
        return before_send(event) or {}
    except Exception:
        log.exception("before_send failed; the event is not sent")
        return {}
