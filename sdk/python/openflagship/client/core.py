"""What both clients consist of: configuration, synchroniser, event queue and sender."""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import threading
import uuid
import weakref
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast

from openflagship.client.context import say_anew
from openflagship.client.evaluation import Evaluation
from openflagship.client.following.configuration import Configuration, SnapshotError
from openflagship.client.following.synchroniser import REFUSED, Synchroniser
from openflagship.client.keys import check_server_key, fingerprint_of, is_plain
from openflagship.client.options import MOST_SECONDS, Options
from openflagship.client.sending.events import EventQueue
from openflagship.client.sending.sender import Sender
from openflagship.client.snapshots.copies import Copy, read_copy
from openflagship.client.snapshots.published import PublishedSnapshot
from openflagship.client.snapshots.stores import FileStore, SnapshotStore
from openflagship.client.status import Status
from openflagship.client.transport.effects import Endpoint
from openflagship.client.transport.tls import tls_of
from openflagship.engine import CompiledEnvironment, DecodeError
from openflagship.version import __version__

log = logging.getLogger("openflagship")

SDK = f"python/{__version__}"
_MOST_INSTANCE_CHARACTERS = 100
NOT_STARTED: Final = "not_started"
# How long `flush` tries, unless told otherwise.
FLUSH_SECONDS: Final = 5.0
# What `ready` answers.
ServedFrom: TypeAlias = Literal["network", "store", "bootstrap", "nothing"]
_SERVED_FROM: Final = {"server": "network", "stored": "store", "bootstrap": "bootstrap", "": "nothing"}

_clients: weakref.WeakSet[ClientCore] = weakref.WeakSet()


# Where a server forks without telling Python, several threads of the child may notice at once.
_restarting = threading.Lock()


def _after_fork() -> None:
    global _restarting  # noqa: PLW0603 - the parent's may have been held by a thread that is not here
    _restarting = threading.Lock()
    for client in list(_clients):
        client.restart_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ClientCore(Evaluation):
    """A client without threads or tasks; a subclass adds the drivers."""

    # What its usage summaries call what it answered.
    _source_of_use: ClassVar = "sdk"

    def __init__(self, server_key: str, url: str, options: Options | None, settings: Mapping[str, Any]) -> None:
        """Raises ValueError for settings that cannot work, and for a bootstrap that is not a snapshot."""
        super().__init__()
        if options is not None and settings:
            raise TypeError("Give the options as an object or by name, not both.")
        self.options = options if options is not None else Options(**settings)
        server_key = check_server_key(server_key, is_offline=self.options.is_offline)
        Endpoint.of(url, self.options.proxy)
        if self.options.stream_url is not None:
            Endpoint.of(self.options.stream_url, self.options.proxy)
        self._url = url
        self._server_key = server_key
        self._is_closed = False
        # Whether somebody has asked the client to follow; a threaded one does so by itself.
        self._is_started = True
        self._tls = tls_of(self.options.ca_file)
        self._store: SnapshotStore | None = self.options.store
        if self._store is None and self.options.snapshot_path is not None:
            self._store = FileStore(self.options.snapshot_path)
        self._published: SnapshotStore | None = None
        if self.options.snapshot_url is not None and not self.options.is_offline:
            self._published = PublishedSnapshot(
                self.options.snapshot_url,
                self._tls,
                self.options.proxy,
                is_signed=self.options.signing_secret is not None,
            )
        self.hooks = tuple(self.options.hooks)
        say_anew()
        self._configuration = Configuration(self.options.stale_after_seconds)
        if self._loads_at_once():
            self._take(self._read_bootstrap(), self._read_stored())
        self._assemble()
        _clients.add(self)

    def _assemble(self) -> None:
        """Make the objects that belong to one process."""
        pid = os.getpid()
        instance = self.options.instance or f"{platform.node() or socket.gethostname()}-{pid}-{uuid.uuid4().hex[:8]}"
        # The instance's name is sent in a header.
        self.instance = "".join(
            character if is_plain(character) else "?" for character in instance[:_MOST_INSTANCE_CHARACTERS]
        )
        headers = {
            "Authorization": f"Bearer {self._server_key}",
            "User-Agent": f"openflagship-{SDK}",
            "X-FlagShip-Instance": self.instance,
            "X-FlagShip-SDK": SDK,
        }
        self._configuration.after_fork()
        self._configuration.announcer.wake = self._wake_announcer
        self._usage.forget()
        self._queue = EventQueue(self.options, wake=self._wake_sender)
        if self._is_closed:
            self._queue.end()
        self._synchroniser = Synchroniser(
            self._configuration, self._url, headers, self.options, changed=self._configuration_changed
        )
        self._sender = Sender(
            configuration=self._configuration,
            queue=self._queue,
            usage=self._usage,
            url=self._url,
            headers=headers,
            instance=self.instance,
            options=self.options,
            store=self._store,
            fingerprint=fingerprint_of(self._server_key),
            source=self._source_of_use,
        )
        if self._configuration.source == "stored" and self._published is None:
            self._sender.note_stored()
        # Set last: a thread that finds its own process id here uses the objects made above.
        self._pid = 0 if self._is_closed else pid

    def status(self) -> Status:
        """The client's present state, from memory."""
        if self._pid != os.getpid() and self.options.mode != "on_demand":
            self._restart_after_fork()
        configuration, sender = self._configuration, self._sender
        configuration.check_staleness()
        environment = configuration.environment
        connection = self._synchroniser.state
        if self._is_closed:
            connection = "closed"
        elif self.options.is_offline:
            connection = "offline"
        elif not self._is_started:
            connection = NOT_STARTED
        age = configuration.age_seconds
        return Status(
            connection=connection,
            is_ready=configuration.is_had,
            source=configuration.source,
            config_version=environment.version,
            is_stale=environment.stale,
            age_seconds=None if age is None else round(age, 3),
            flags=len(environment.flags),
            reconnects=self._synchroniser.reconnects,
            error=self._synchroniser.error or sender.error,
            events_pending=sender.pending,
            events_sent=sender.sent,
            events_dropped=self._queue.dropped,
            events_rejected=sender.rejected,
            events_lost=sender.lost,
            is_breaker_open=sender.is_open,
            instance=self.instance,
        )

    def restart_after_fork(self) -> None:
        """Start anew in a child process with the parent's configuration, without its threads, sockets and events."""
        raise NotImplementedError

    def _restart_after_fork(self) -> None:
        with _restarting:
            if self._pid != os.getpid():
                self.restart_after_fork()

    def _wake_sender(self) -> None:
        raise NotImplementedError

    def _configuration_changed(self) -> None:
        raise NotImplementedError

    def _wake_announcer(self) -> None:
        raise NotImplementedError

    @property
    def _is_lasting(self) -> bool:
        """Whether what was read at the start never becomes stale: nobody expects news."""
        return self.options.is_offline

    def _loads_at_once(self) -> bool:
        """Whether the constructor may take the time to read what is kept."""
        return True

    @property
    def _served_from(self) -> ServedFrom:
        return cast("ServedFrom", _SERVED_FROM[self._configuration.source])

    @property
    def _is_settled(self) -> bool:
        """Whether waiting for the network is over: it answered, or it will not soon."""
        is_refused = self._synchroniser.state == REFUSED
        return self._configuration.source == "server" or is_refused or self._is_closed or self.options.is_offline

    def _patience(self, timeout: Any, otherwise: float) -> float:
        """Seconds to wait, within what clocks take; whatever is no number stands for `otherwise`."""
        is_number = isinstance(timeout, Real) and timeout == timeout  # noqa: PLR0124 - not a number is not itself
        # Windows' clocks take less.
        return float(max(0, min(timeout, MOST_SECONDS, threading.TIMEOUT_MAX))) if is_number else otherwise

    def _read_bootstrap(self) -> CompiledEnvironment | None:
        """Raises ValueError."""
        bootstrap = self.options.bootstrap
        if bootstrap is None:
            return None
        try:
            if isinstance(bootstrap, Mapping):
                return CompiledEnvironment.from_document(json.loads(json.dumps(bootstrap)))
            return read_copy(Path(bootstrap).read_bytes(), None, "").environment
        except (DecodeError, SnapshotError, TypeError, OSError) as error:
            raise ValueError(f"bootstrap: {error}") from error

    def _read_stored(self) -> tuple[Copy, float] | None:
        """What the store holds for this key, or what was published if that is later, and its age in seconds.

        It may take its time, and never raises.
        """
        found = [self._read_from(store) for store in (self._store, self._published)]
        read = [one for one in found if one is not None]
        return max(read, key=lambda one: one[0].environment.version, default=None)

    def _read_from(self, store: SnapshotStore | None) -> tuple[Copy, float] | None:
        if store is None:
            return None
        try:
            found = store.load()
            if found is None:
                return None
            content, age = found
            copy = read_copy(bytes(content), self.options.signing_secret, fingerprint_of(self._server_key))
            return copy, copy.age_seconds(age)
        except Exception as error:  # noqa: BLE001 - a store may be foreign code; without it the client starts empty
            log.warning("the stored snapshot could not be read: %s", error)
            return None

    def _take(self, bootstrap: CompiledEnvironment | None, stored: tuple[Copy, float] | None) -> None:
        """Begin with what was read, the later of the two."""
        configuration, is_lasting = self._configuration, self._is_lasting
        if bootstrap is not None:
            configuration.adopt(bootstrap, "bootstrap", is_lasting=is_lasting)
        if stored is None or (configuration.is_had and stored[0].environment.version < configuration.version):
            return
        copy, age = stored
        configuration.adopt(copy.environment, "stored", age_seconds=age, is_lasting=is_lasting, proof=copy.proof)
        configuration.check_staleness()
