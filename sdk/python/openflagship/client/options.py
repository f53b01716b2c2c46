"""All settings of a client, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from os import PathLike
from typing import Any, Final, Literal, TypeAlias, TypedDict, get_args

from openflagship.client.callers_code import is_coroutine_function
from openflagship.client.hooks import Hook, check_hook
from openflagship.client.sending.sinks import EventSink
from openflagship.client.snapshots.stores import SnapshotStore

Mode: TypeAlias = Literal["stream", "poll", "on_demand", "offline"]
BeforeSend: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | None]
# Some thirty years.
MOST_SECONDS: Final = 1_000_000_000
_MAY_BE_ZERO: Final = frozenset({"start_wait_seconds", "poll_after_seconds", "close_wait_seconds", "healthy_seconds"})
_COUNTS: Final = frozenset({"flush_count", "most_events", "most_bytes", "breaker_failures"})
_SWITCHES: Final = ("is_offline", "is_streaming", "is_sending_events")
_TEXTS: Final = frozenset({"stream_url", "snapshot_url", "proxy", "instance"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Times in seconds. Raises ValueError for what cannot work; nothing later on does.

    `mode`: "stream", "poll", "on_demand" (nothing runs in the background; a call refreshes what is older than
    `poll_seconds`) or "offline"; `is_offline` and `is_streaming=False` are older spellings of "offline" and "poll".
    `stream_url`: the stream's address, where it is not the one that the API names. `proxy`: an HTTP proxy's address,
    empty for none; unset, HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment count. `bootstrap`: a snapshot, or
    the path of one. `snapshot_path`: where the last good snapshot is kept. `store`: a shared place for it instead.
    `snapshot_url`: where the platform publishes it in object storage; at the start the later of the two is taken.
    `signing_secret`: accept signed snapshots only. `hash_key`: user ids leave the process as HMAC-SHA256 under this
    key. `before_send` sees each event, and may change it or drop it by returning None. `sink`: where events go in the
    platform's place. `hooks` are called around every evaluation.

    `connect_seconds`: for a connection, and for the head of an answer; `answer_seconds`: for a whole answer;
    `silence_seconds`: without a keep-alive on the stream. Pauses after failures grow between the two backoffs, and
    start anew once a stream lasted `healthy_seconds`; `most_refused_seconds` limits those after 401, 403 and 404.
    """

    stream_url: str | None = field(default=None, repr=False)
    bootstrap: Mapping[str, Any] | str | PathLike[str] | None = field(default=None, repr=False)
    snapshot_path: str | PathLike[str] | None = None
    snapshot_url: str | None = field(default=None, repr=False)
    store: SnapshotStore | None = None
    mode: Mode = "stream"
    is_offline: bool = False
    signing_secret: str | None = field(default=None, repr=False)
    hash_key: str | None = field(default=None, repr=False)
    before_send: BeforeSend | None = None
    sink: EventSink | None = None
    hooks: Sequence[Hook] = ()
    is_streaming: bool = True
    is_sending_events: bool = True
    start_wait_seconds: float = 5.0
    poll_seconds: float = 60.0
    poll_after_seconds: float = 30.0
    stale_after_seconds: float = 120.0
    connect_seconds: float = 10.0
    answer_seconds: float = 60.0
    silence_seconds: float = 35.0
    first_backoff_seconds: float = 1.0
    most_backoff_seconds: float = 30.0
    most_refused_seconds: float = 300.0
    healthy_seconds: float = 60.0
    flush_seconds: float = 10.0
    flush_count: int = 100
    most_events: int = 10_000
    most_bytes: int = 16_000_000
    usage_seconds: float = 60.0
    close_wait_seconds: float = 5.0
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    instance: str | None = None

    def __post_init__(self) -> None:
        self._settle_mode()
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name.endswith("_seconds"):
                _check_seconds(one.name, value)
            elif one.name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{one.name} must be at least 1, and a whole number.")
            elif one.name in _TEXTS and not isinstance(value, str | None):
                raise ValueError(f"{one.name} must be text.")
        self._check_code()
        for name in ("signing_secret", "hash_key"):
            secret = getattr(self, name)
            if secret is not None and not isinstance(secret, str):
                raise ValueError(f"{name} must be text.")
            if secret is not None and not secret.strip():
                raise ValueError(f"{name} is empty: give a secret, or leave it out.")
        if self.most_backoff_seconds < self.first_backoff_seconds:
            raise ValueError("most_backoff_seconds must be at least first_backoff_seconds.")

    def _check_code(self) -> None:
        """What is called later must be there to be called, and nobody would wait for a coroutine."""
        if self.before_send is not None and not callable(self.before_send):
            raise ValueError("before_send must be a function.")
        if is_coroutine_function(self.before_send):
            raise ValueError("before_send must be a plain function, not a coroutine function.")
        for name, methods in (("sink", ("send",)), ("store", ("load", "save"))):
            made = getattr(self, name)
            missing = [method for method in methods if made is not None and not callable(getattr(made, method, None))]
            if missing:
                raise ValueError(f"{name} must be an object with the method {missing[0]!r}.")
            waits = [method for method in methods if is_coroutine_function(getattr(made, method, None))]
            if waits:
                raise ValueError(f"{name}: {waits[0]!r} must be a plain method, not a coroutine function.")
        if not isinstance(self.hooks, (list, tuple)) or not all(isinstance(hook, Hook) for hook in self.hooks):
            raise ValueError("hooks must be a list of Hook objects.")
        for hook in self.hooks:
            check_hook(hook)

    def _settle_mode(self) -> None:
        """Make the mode and its older spellings agree. A text is no switch: "0" would be one that is on."""
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False.")  # noqa: TRY004 - as for all settings
        mode = self.mode
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}.")
        if self.is_offline and mode not in {"stream", "offline"}:
            raise ValueError(f"mode={mode!r} does not go with is_offline=True.")
        if self.is_offline:
            mode = "offline"
        elif not self.is_streaming and mode == "stream":
            mode = "poll"
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "is_offline", mode == "offline")
        object.__setattr__(self, "is_streaming", mode == "stream")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_seconds(name: str, value: Any) -> None:
    """A longer pause than the limit is one that no clock of threads or loops takes. Not a number is out of range."""
    if name not in _MAY_BE_ZERO and (not _is_number(value) or not value > 0):
        raise ValueError(f"{name} must be more than 0.")
    if not _is_number(value) or not 0 <= value <= MOST_SECONDS:
        raise ValueError(f"{name} must be a number of seconds from 0 to {MOST_SECONDS:,}.")


class Settings(TypedDict, total=False):
    """The fields of `Options`, as a client takes them by name."""

    stream_url: str | None
    bootstrap: Mapping[str, Any] | str | PathLike[str] | None
    snapshot_path: str | PathLike[str] | None
    snapshot_url: str | None
    store: SnapshotStore | None
    mode: Mode
    is_offline: bool
    signing_secret: str | None
    hash_key: str | None
    before_send: BeforeSend | None
    sink: EventSink | None
    hooks: Sequence[Hook]
    is_streaming: bool
    is_sending_events: bool
    start_wait_seconds: float
    poll_seconds: float
    poll_after_seconds: float
    stale_after_seconds: float
    connect_seconds: float
    answer_seconds: float
    silence_seconds: float
    first_backoff_seconds: float
    most_backoff_seconds: float
    most_refused_seconds: float
    healthy_seconds: float
    flush_seconds: float
    flush_count: int
    most_events: int
    most_bytes: int
    usage_seconds: float
    close_wait_seconds: float
    breaker_failures: int
    breaker_seconds: float
    ca_file: str | None
    proxy: str | None
    instance: str | None
