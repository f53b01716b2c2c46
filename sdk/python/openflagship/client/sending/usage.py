"""How often each flag gave each variant for which reason: counted without a lock, summed up by the sender."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from openflagship.engine import Answer
from openflagship.engine.answer import FLAG_NOT_FOUND

_MOST_UNKNOWN: Final = 100
_MOST_KEY_CHARACTERS: Final = 200


class Usage:
    """Any thread counts. `answer.uses[0] += 1` has no call in it, so no thread switch comes between its steps."""

    def __init__(self) -> None:
        # By flag, variant and reason: what was counted and not taken yet. Answers of all versions share their cell.
        self._cells: dict[tuple[str, str | None, str], list[int]] = {}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._unknown: Counter[str] = Counter()
        self._unnamed = 0

    def begin(self, flag_key: str, answer: Answer) -> None:
        """Count the first use of an answer, and bind its cell to it."""
        uses = self._cells.setdefault((flag_key, answer.variant, answer.reason), [0])
        object.__setattr__(answer, "uses", uses)
        uses[0] += 1

    def count(self, flag_key: str, answer: Answer) -> None:
        try:
            answer.uses[0] += 1
        except AttributeError:
            self.begin(flag_key, answer)

    def count_failure(self, flag_key: str, answer: Answer) -> None:
        """Count a default that was served. Of unknown flags at most a hundred keep their names."""
        name = str(flag_key)[:_MOST_KEY_CHARACTERS]
        if not name or not name.isprintable():
            # The server refuses a whole summary for a key that is empty or holds NUL.
            self._unnamed += 1
        elif answer.error_code != FLAG_NOT_FOUND:
            self._failures[name, answer.error_code or answer.reason] += 1
        elif name in self._unknown or len(self._unknown) < _MOST_UNKNOWN:
            self._unknown[name] += 1
        else:
            self._unnamed += 1

    def forget(self) -> None:
        """Drop what was counted. After a fork the parent sends it."""
        # Set to zero and not replaced: answers hold them.
        for uses in self._cells.values():
            uses[0] = 0
        self._failures.clear()
        self._unknown.clear()
        self._unnamed = 0

    def take(self) -> dict[str, Any] | None:
        """What was counted since the last call, in the API's form; None where nothing was."""
        rows = []
        # A copy, because other threads begin cells meanwhile.
        for (flag, variant, reason), uses in list(self._cells.items()):
            number = uses[0]
            if number:
                # Subtracted and not set to zero: what is counted meanwhile stays.
                uses[0] -= number
                rows.append({"flagKey": flag, "variant": variant, "reason": reason, "count": number})
        failures, self._failures = self._failures, Counter()
        unknown, self._unknown = self._unknown, Counter()
        unnamed, self._unnamed = self._unnamed, 0
        if not rows and not failures and not unknown and not unnamed:
            return None
        rows += (
            {"flagKey": flag, "variant": None, "reason": "ERROR", "errorCode": code, "count": number}
            for (flag, code), number in failures.items()
        )
        return {
            "flags": rows,
            "unknownFlags": [{"flagKey": flag, "count": number} for flag, number in unknown.items()],
            "unknownFlagsUnnamed": unnamed,
        }
