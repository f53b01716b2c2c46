"""How often each flag gave each variant for which reason: counted without a lock, summed up by the sender."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from openflagship.engine import Answer
from openflagship.engine.answer import FLAG_NOT_FOUND

_MOST_UNKNOWN: Final = 100
_MOST_KEY_CHARACTERS: Final = 200


class Usage:
    """Any thread counts. `counts[id(answer)] += 1` has no call in it, so no thread switch comes between its steps."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        # Kept alive, so that nothing else can come to have their `id()`.
        self._begun: dict[int, tuple[str, Answer]] = {}
        # By flag, variant and reason: what was counted of answers that are let go of.
        self._rows: Counter[tuple[str, str | None, str]] = Counter()
        self._settling = threading.Lock()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._unknown: Counter[str] = Counter()
        self._unnamed = 0

    def begin(self, flag_key: str, answer: Answer) -> None:
        """Count the first use of an answer, which the environment owns."""
        key = id(answer)
        self._begun[key] = (flag_key, answer)
        self.counts.setdefault(key, 0)
        self.count(flag_key, answer)
        # Once more: `take` may have come between.
        self._begun[key] = (flag_key, answer)

    def count(self, flag_key: str, answer: Answer) -> None:
        try:
            self.counts[id(answer)] += 1
        except KeyError:
            self.begin(flag_key, answer)

    def count_failure(self, flag_key: str, answer: Answer) -> None:
        """Count a default that was served. Of unknown flags at most a hundred keep their names."""
        name = str(flag_key)[:_MOST_KEY_CHARACTERS]
        if answer.error_code != FLAG_NOT_FOUND:
            self._failures[name, answer.error_code or answer.reason] += 1
        elif name in self._unknown or len(self._unknown) < _MOST_UNKNOWN:
            self._unknown[name] += 1
        else:
            self._unnamed += 1

    def forget(self) -> None:
        """Drop what was counted. After a fork the parent sends it."""
        # Emptied and not replaced: evaluations hold it.
        self.counts.clear()
        self._begun.clear()
        self._rows.clear()
        self._settling = threading.Lock()
        self._failures.clear()
        self._unknown.clear()
        self._unnamed = 0

    def settle(self) -> None:
        """Keep the numbers and let go of the answers, whose configuration may be an old one."""
        with self._settling:
            for key in list(self.counts):
                known = self._begun.pop(key, None)
                # `pop` is one step: what is counted before it is in the number, what comes after it begins anew.
                number = self.counts.pop(key, 0)
                if known is not None:
                    flag_key, answer = known
                    self._rows[flag_key, answer.variant, answer.reason] += number

    def take(self) -> dict[str, Any] | None:
        """What was counted since the last call, in the API's form; None where nothing was."""
        self.settle()
        with self._settling:
            rows, self._rows = self._rows, Counter()
        failures, self._failures = self._failures, Counter()
        unknown, self._unknown = self._unknown, Counter()
        unnamed, self._unnamed = self._unnamed, 0
        if not rows and not failures and not unknown and not unnamed:
            return None
        return {
            "flags": [
                *(
                    {"flagKey": flag, "variant": variant, "reason": reason, "count": number}
                    for (flag, variant, reason), number in rows.items()
                ),
                *(
                    {"flagKey": flag, "variant": None, "reason": "ERROR", "errorCode": code, "count": number}
                    for (flag, code), number in failures.items()
                ),
            ],
            "unknownFlags": [{"flagKey": flag, "count": number} for flag, number in unknown.items()],
            "unknownFlagsUnnamed": unnamed,
        }
