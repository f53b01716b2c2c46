"""The request's id: the caller's where it is fit for a log line, otherwise a new one."""

from __future__ import annotations

import re
import time
from typing import Final

from openflagship.ids import uuid7_text

HEADER: Final = "X-Request-ID"
_FIT: Final = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")


def request_id_of(given: str, otherwise: str | None = None) -> str:
    """The caller's id; else `otherwise`; else a new UUIDv7."""
    if given and _FIT.match(given):
        return given
    return otherwise or uuid7_text(time.time_ns() // 1_000_000)
