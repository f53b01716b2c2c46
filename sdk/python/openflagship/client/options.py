"""All settings of a client, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

from openflagship.client.stores import SnapshotStore

BeforeSend: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Times in seconds. Raises ValueError for what cannot work; nothing later on does.

    `stream_url` where the stream is served elsewhere than the API. `proxy`: an HTTP proxy's address, empty for none;
    unset, HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment count. `bootstrap`: a snapshot, or the path of one.
    `snapshot_path`: where the last good snapshot is kept. `store`: a shared place for it instead. `signing_secret`:
    accept signed snapshots only. `hash_key`: user ids leave the process as HMAC-SHA256 under this key. `before_send`
    sees each event, and may change it or drop it by returning None.
    """

    stream_url: str | None = None
    bootstrap: Mapping[str, Any] | str | PathLike[str] | None = None
    snapshot_path: str | PathLike[str] | None = None
    store: SnapshotStore | None = None
    is_offline: bool = False
    signing_secret: str | None = None
    hash_key: str | None = None
    before_send: BeforeSend | None = None
    is_streaming: bool = True
    is_sending_events: bool = True
    start_wait_seconds: float = 5.0
    poll_seconds: float = 60.0
    poll_after_seconds: float = 30.0
    stale_after_seconds: float = 120.0
    connect_seconds: float = 10.0
    silence_seconds: float = 45.0
    first_backoff_seconds: float = 1.0
    most_backoff_seconds: float = 30.0
    flush_seconds: float = 10.0
    flush_count: int = 100
    most_events: int = 10_000
    close_wait_seconds: float = 5.0
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    ca_file: str | None = None
    proxy: str | None = None
    instance: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "poll_seconds",
            "stale_after_seconds",
            "connect_seconds",
            "silence_seconds",
            "first_backoff_seconds",
            "flush_seconds",
            "breaker_seconds",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0.")
        for name in ("flush_count", "most_events", "breaker_failures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1.")
        if self.most_backoff_seconds < self.first_backoff_seconds:
            raise ValueError("most_backoff_seconds must be at least first_backoff_seconds.")
