"""UUIDv7 (RFC 9562): ids that sort by time, which keeps the event tables' inserts local."""

import os
import time
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)


def uuid7(unix_ms: int | None = None) -> UUID:
    """Return a new UUIDv7 of the given moment (Unix milliseconds), now by default; the other 74 bits are random."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random_bits = int.from_bytes(os.urandom(10), "big")
    low = random_bits & ((1 << 62) - 1)
    high = (random_bits >> 62) & 0xFFF
    return UUID(int=((milliseconds & 0xFFFFFFFFFFFF) << 80) | (high << 64) | _VERSION_AND_VARIANT | low)
