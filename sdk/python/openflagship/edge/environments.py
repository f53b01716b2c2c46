"""The environments of an edge: those of its settings, or those that the server names, which come and go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from openflagship.client.options import Options
from openflagship.client.snapshots.stores import FileStore, SnapshotStore
from openflagship.client.transport.aio import AsyncDriver
from openflagship.client.transport.tls import tls_of
from openflagship.edge.callers import Caller, Callers
from openflagship.edge.directory import Directory, part_for
from openflagship.edge.listeners import Listener
from openflagship.edge.settings.edge_settings import EdgeSettings
from openflagship.edge.settings.keys import EdgeEnvironment
from openflagship.edge.source import EdgeClient, Source, name_of
from openflagship.wire import sse
from openflagship.wire.credentials import EDGE_EVENT, EDGE_SCOPE, EdgeConfiguration, FurtherEdge
from openflagship.wire.errors import RefusedError

log = logging.getLogger("openflagship.edge")


class Environments:
    """Lives on the event loop. `sources` are in the order in which they were named."""

    def __init__(
        self, settings: EdgeSettings, evaluations: MutableMapping[str, int], settled: Callable[[], None]
    ) -> None:
        """`evaluations` are counted by reason.

        `settled` is called whenever an environment's configuration was replaced as a whole.
        """
        self.sources: list[Source] = []
        self.callers = Callers()
        self.directory: Directory | None = None
        self._settings = settings
        self._evaluations = evaluations
        self._settled = settled
        self._driver: AsyncDriver | None = None
        # Further edges that follow what this one serves, each with its credential's prefix.
        self._edges: dict[Listener, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[asyncio.Future[None]] = []
        self._is_stopped = False
        # Names that have a signing secret, and are none of what the server names.
        self._unserved: list[str] = []

    async def start(self) -> None:
        settings = self._settings
        for one in settings.environments:
            self.callers.give(one, self._add(one))
        if settings.credential is not None:
            options = Options(**{"stream_url": settings.stream_url, **settings.options})
            store = self._store_of(f"edge-configuration-{name_of(settings.credential)}")
            self.directory = Directory(settings.credential, settings.url, options, store, self._taken)
            kept = await asyncio.to_thread(self.directory.load)
            if kept is not None:
                self.directory.use(kept)
            if not options.is_offline:
                self._driver = AsyncDriver("openflagship-directory", self.directory.run, tls_of(options.ca_file))
                self._driver.start()
        self._settled()
        await asyncio.gather(*(source.client.start() for source in self.sources))
        if settings.is_offline:
            self._watches = [asyncio.ensure_future(source.client.watch_staleness()) for source in self.sources]

    def drain(self) -> None:
        """End every stream. Streams have no end of their own that a server could wait for."""
        for source in self.sources:
            source.close()
        for listener in tuple(self._edges):
            listener.offer(None)

    async def stop(self) -> None:
        self._is_stopped = True
        if self._driver is not None:
            await self._driver.stop()
        self.drain()
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await asyncio.gather(*self._tasks, *(source.client.close() for source in self.sources))

    def readiness(self, name: str | None) -> dict[str, Any]:
        """For `/readyz`: of all environments, or of the one with this name. Raises RefusedError."""
        states = [source.status() for source in self.sources if name in {None, source.name}]
        if name is not None and not states:
            raise RefusedError(404, f"No environment is called {name!r} here.")
        found = {state["state"] for state in states}
        is_failing = not found and self.directory is not None and self.directory.status()["error"] is not None
        status = "starting" if "starting" in found or not (found or is_failing) else "failing"
        if "ready" in found and "starting" not in found:
            is_whole = found == {"ready"} and (name is not None or not self._unserved)
            status = "ready" if is_whole else "degraded"
        body: dict[str, Any] = {"status": status, "environments": states}
        if self.directory is not None:
            body["configuration"] = {**self.directory.status(), "unservedSecrets": self._unserved}
        return body

    def find_token(self, token: str) -> tuple[Caller, Source] | None:
        """The live caller whose token for OFREP's event stream this is, and the environment that it is about."""
        for source in self.sources:
            name = source.caller_of(token)
            if name is not None:
                caller = self.callers.named(name, source)
                return None if caller is None else (caller, source)
        return None

    def join_edge(self, edge: FurtherEdge) -> Listener:
        """Open the stream of a further edge's configuration. It starts with the whole of it."""
        prefix = edge["prefix"]
        listener = Listener(lambda: self.callers.further_edge(prefix) is not None)
        self._edges[listener] = prefix
        listener.offer(self._event_for(edge))
        return listener

    def leave_edge(self, listener: Listener) -> None:
        self._edges.pop(listener, None)

    def configuration_for(self, edge: FurtherEdge) -> EdgeConfiguration:
        """What a further edge serves."""
        if self.directory is None or self.directory.configuration is None:
            raise LookupError("nobody told this edge of other edges")
        return part_for(edge, self.directory.configuration)

    def _event_for(self, edge: FurtherEdge) -> bytes:
        found = self.configuration_for(edge)
        return sse.event(EDGE_EVENT, json.dumps(found).encode(), event_id=found["revision"])

    def _taken(self, configuration: EdgeConfiguration) -> None:
        """Serve what the server names, and nothing else that it named before."""
        if self._is_stopped:
            return
        credential = self._settings.credential or ""
        had = {source.name: source for source in self.sources}
        names = [one["name"] for one in configuration["environments"]]
        self._note_unserved(names)
        for name in names:
            if name not in had:
                secret = self._settings.signing_secrets.get(name)
                one = EdgeEnvironment(server_key=f"{credential}{EDGE_SCOPE}{name}", name=name, signing_secret=secret)
                had[name] = self._add(one)
                self._later(had[name].client.start())
        self.callers.tell(configuration, had)
        gone = [source for source in self.sources if source.name not in names]
        self.sources = [had[name] for name in names]
        for source in gone:
            source.close()
            self._later(source.client.close())
        for source in self.sources:
            source.end_revoked()
        for listener, prefix in tuple(self._edges.items()):
            edge = self.callers.further_edge(prefix)
            listener.offer(None if edge is None else self._event_for(edge))

    def _note_unserved(self, names: list[str]) -> None:
        """Say which signing secret is for no environment: where its name is wrong, one is taken unsigned."""
        unserved = sorted(self._settings.signing_secrets.keys() - set(names))
        if unserved and unserved != self._unserved:
            text = "FLAGSHIP_EDGE_SIGNING_SECRETS names %s, which this edge does not serve; it serves %s"
            log.warning(text, ", ".join(unserved), ", ".join(names) or "nothing")
        self._unserved = unserved

    def _later(self, act: Any) -> None:
        task = asyncio.ensure_future(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add(self, one: EdgeEnvironment) -> Source:
        settings = self._settings
        secret = settings.secret_of(one)
        snapshot_url = settings.snapshot_url_of(one)
        if snapshot_url is None and settings.snapshot_url is not None:
            log.warning(
                "%s is not read from FLAGSHIP_EDGE_SNAPSHOT_URL: without a signing secret that needs https", one.name
            )
        client = EdgeClient(
            one.server_key,
            settings.url,
            **{
                "stream_url": settings.stream_url,
                "store": FileStore(one.snapshot) if one.snapshot else self._store_of(name_of(one.server_key)),
                "snapshot_url": snapshot_url,
                "signing_secret": secret,
                "flush_seconds": 1.0,
                # Encoding so many delays every request by about two milliseconds. Smaller batches would need more
                # connections and requests, here and at the server.
                "flush_count": 1_000,
                "most_events": 100_000,
                "start_wait_seconds": 0,
                "is_offline": settings.is_offline,
                "is_sending_events": not settings.is_offline,
                **settings.options,
            },
        )
        source = Source(
            client,
            one.server_key,
            name=one.name,
            signing_secret=secret,
            evaluations=self._evaluations,
            settled=self._settled,
        )
        self.sources.append(source)
        return source

    def _store_of(self, name: str) -> SnapshotStore | None:
        settings = self._settings
        if settings.store_of is not None:
            return settings.store_of(name)
        return None if settings.data_dir is None else FileStore(settings.data_dir / f"{name}.json")
