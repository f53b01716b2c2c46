"""What both clients consist of: configuration, synchroniser, event queue and sender."""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import ssl
import threading
import uuid
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openflagship.client.configuration import Configuration, SnapshotError, parse_snapshot
from openflagship.client.effects import Endpoint
from openflagship.client.evaluation import Evaluation
from openflagship.client.events import EventQueue
from openflagship.client.options import Options
from openflagship.client.sender import Sender
from openflagship.client.status import Status
from openflagship.client.stores import FileStore, SnapshotStore
from openflagship.client.synchroniser import Synchroniser
from openflagship.engine import CompiledEnvironment, DecodeError

log = logging.getLogger("openflagship")

SDK = "python/0.1.0"
_MOST_INSTANCE_CHARACTERS = 100

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

    def __init__(self, server_key: str, url: str, options: Options | None, settings: Mapping[str, Any]) -> None:
        """Raises ValueError for settings that cannot work, and for a bootstrap that is not a snapshot."""
        super().__init__()
        if options is not None and settings:
            raise TypeError("Give the options as an object or by name, not both.")
        self.options = options if options is not None else Options(**settings)
        # Keys come from files and variables, often with a newline at the end.
        server_key = (server_key or "").strip()
        if not self.options.is_offline and not server_key:
            raise ValueError("Give the environment's server key, or is_offline=True.")
        if not _is_plain(server_key):
            # The message must not contain the key, because it ends up in logs.
            raise ValueError("The server key holds a character that no key has.")
        Endpoint.of(url, self.options.proxy)
        if self.options.stream_url is not None:
            Endpoint.of(self.options.stream_url, self.options.proxy)
        self._url = url
        self._server_key = server_key
        self._is_closed = False
        self._tls = ssl.create_default_context(cafile=self.options.ca_file)
        self._store: SnapshotStore | None = self.options.store
        if self._store is None and self.options.snapshot_path is not None:
            self._store = FileStore(self.options.snapshot_path)
        self._configuration = Configuration(self.options.stale_after_seconds)
        self._take_bootstrap()
        self._take_stored()
        self._assemble()
        _clients.add(self)

    def _assemble(self) -> None:
        """Make the objects that belong to one process."""
        pid = os.getpid()
        instance = self.options.instance or f"{platform.node() or socket.gethostname()}-{pid}-{uuid.uuid4().hex[:8]}"
        # The instance's name is sent in a header.
        self.instance = "".join(
            character if _is_plain(character) else "?" for character in instance[:_MOST_INSTANCE_CHARACTERS]
        )
        headers = {
            "Authorization": f"Bearer {self._server_key}",
            "User-Agent": f"openflagship-{SDK}",
            "X-FlagShip-Instance": self.instance,
            "X-FlagShip-SDK": SDK,
        }
        self._queue = EventQueue(self.options, wake=self._wake_sender)
        self._synchroniser = Synchroniser(
            self._configuration, self._url, headers, self.options, changed=self._configuration_changed
        )
        self._sender = Sender(
            configuration=self._configuration,
            queue=self._queue,
            url=self._url,
            headers=headers,
            instance=self.instance,
            options=self.options,
            store=self._store,
        )
        if self._configuration.source == "stored":
            self._sender.note_stored()
        # Set last: a thread that finds its own process id here uses the objects made above.
        self._pid = pid

    def status(self) -> Status:
        """The client's present state, from memory."""
        if self._pid != os.getpid():
            self._restart_after_fork()
        configuration, sender = self._configuration, self._sender
        environment = configuration.environment
        connection = self._synchroniser.state
        if self._is_closed:
            connection = "closed"
        elif self.options.is_offline:
            connection = "offline"
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

    def _take_bootstrap(self) -> None:
        bootstrap = self.options.bootstrap
        if bootstrap is None:
            return
        try:
            if isinstance(bootstrap, Mapping):
                environment = CompiledEnvironment.from_document(json.loads(json.dumps(bootstrap)))
            else:
                environment = parse_snapshot(Path(bootstrap).read_bytes())
        except (DecodeError, SnapshotError, TypeError, OSError) as error:
            raise ValueError(f"bootstrap: {error}") from error
        self._configuration.adopt(environment, "bootstrap", is_lasting=self.options.is_offline)

    def _take_stored(self) -> None:
        if self._store is None:
            return
        try:
            found = self._store.load()
            if found is None:
                return
            body, age = found
            environment = parse_snapshot(body)
        except Exception as error:  # noqa: BLE001 - a store may be foreign code; without it the client starts empty
            log.warning("the stored snapshot could not be read: %s", error)
            return
        if self._configuration.is_had and environment.version < self._configuration.version:
            return
        self._configuration.adopt(environment, "stored", age_seconds=age, is_lasting=self.options.is_offline)
        self._configuration.check_staleness()


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
