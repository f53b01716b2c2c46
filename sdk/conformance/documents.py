"""The small documents that cases start from, and how a server signs them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

# Of no kind: servers and pages come with the same one here.
SERVER_KEY = "fs_conformance_key"


def flag(key: str = "asked", **changes: Any) -> dict[str, Any]:
    """A boolean flag that gives everybody true."""
    return {
        "key": key,
        "type": "boolean",
        "enabled": True,
        "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
        "defaultVariant": "control",
        "offVariant": "control",
        "allocation": [[0, 10_000, "treatment"]],
        **changes,
    }


def off(key: str = "asked", **changes: Any) -> dict[str, Any]:
    """The same, switched off."""
    return flag(key, enabled=False, **changes)


def asking(conditions: Any, key: str = "asked", **changes: Any) -> dict[str, Any]:
    """A flag that gives true to whom the conditions hold for, and to nobody else."""
    rules = [{"id": "rule-1", "priority": 1, "conditions": conditions, "variant": "treatment"}]
    return flag(key, rules=rules, allocation=[], **changes)


def in_segment(key: str = "beta") -> dict[str, Any]:
    return asking([{"operator": "in_segment", "value": [key]}])


def gone(key: str) -> dict[str, Any]:
    """What a stream says of a flag or a segment that is no longer served."""
    return {"key": key, "deleted": True}


def signature(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sse(kind: str, data: Any, version: int | str | None = None) -> bytes:
    """One event. Text that is given as such is sent as it is."""
    head = "" if version is None else f"id: {version}\n"
    text = data if isinstance(data, str) else json.dumps(data)
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"{head}event: {kind}\n{lines}\n".encode()


def keep_alive(age_seconds: float | None = None) -> bytes:
    return b": keep-alive\n\n" if age_seconds is None else f": keep-alive age={age_seconds:g}\n\n".encode()
