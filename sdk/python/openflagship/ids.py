"""UUIDv7 (RFC 9562): ids that sort by time, which keeps the event tables' inserts local."""

import os
import time
from itertools import count
from uuid import UUID

# Characters of an id as text.
ID_LENGTH = 36
_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)


def uuid7(unix_ms: int | None = None) -> UUID:
    """Return a new UUIDv7 of the given moment (Unix milliseconds), now by default. The other 74 bits are random."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random_bits = int.from_bytes(os.urandom(10), "big")
    low = random_bits & ((1 << 62) - 1)
    high = (random_bits >> 62) & 0xFFF
    return UUID(int=((milliseconds & 0xFFFFFFFFFFFF) << 80) | (high << 64) | _VERSION_AND_VARIANT | low)


class _Texts:
    """Ids as text at a tenth of the cost. The 12 bits after the version count; every 4,096 ids get new random bits."""

    __slots__ = ("_count", "_tail")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start anew. A child process calls it, because it would repeat the parent's ids."""
        self._count = count()
        self._tail = ""

    def __call__(self, unix_ms: int) -> str:
        """A new unique UUIDv7 of that moment: ids with the same tail differ in the counter. Any thread may call it."""
        number = next(self._count) & 0xFFF
        if not number or not self._tail:
            random_hex = os.urandom(8).hex()
            self._tail = f"-{'89ab'[int(random_hex[0], 16) & 3]}{random_hex[1:4]}-{random_hex[4:]}"
        head = f"{unix_ms:012x}"
        return f"{head[:8]}-{head[8:]}-{_COUNTERS[number]}{self._tail}"


_COUNTERS = tuple(f"7{number:03x}" for number in range(4096))
uuid7_text = _Texts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=uuid7_text.renew)
