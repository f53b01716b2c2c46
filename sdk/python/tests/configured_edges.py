"""Edges that the server configures, for the tests: a credential, keys, and a platform that tells of them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from small_platform import SmallPlatform

EDGE, LEAF = (f"fs_edge_{name * 8}{'x' * 43}" for name in "ab")
SERVER, CLIENT, OTHER = (
    f"fs_{kind}_{name * 8}{'y' * 43}" for kind, name in (("server", "c"), ("client", "d"), ("client", "e"))
)
WEB, BLOG = "web/production", "blog/production"


def told(key: str, **more: Any) -> dict[str, Any]:
    _, kind, rest = key.split("_", 2)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {"prefix": f"fs_{kind}_{rest[:8]}", "kind": kind, "digest": digest, "expiresAt": None, **more}


def edges(*names: str) -> list[dict[str, Any]]:
    return [told(EDGE, environments=[WEB, BLOG]), *([told(LEAF, environments=list(names))] if names else [])]


@pytest.fixture
def configured(platform: SmallPlatform) -> SmallPlatform:
    """A platform that serves edges: `edge_configuration` is what it tells of, `tell_edges` says it anew."""
    platform.keep_alive_seconds = 0.1
    platform.others = dict.fromkeys((f"{EDGE}~{WEB}", f"{EDGE}~{BLOG}", EDGE), "")
    platform.tell_edges([{"name": WEB, "keys": [told(SERVER), told(CLIENT)]}], edges(WEB))
    return platform
