"""The hub of the process: it observes the runtime, keeps each environment's recent events and sends them to clients."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from openflagship.stream_kinds import SNAPSHOT
from redis.exceptions import RedisError

from flags.prometheus import STREAM_CLIENTS, STREAM_CLOSED
from flags.propagation import cold_start_copy
from flags.propagation.acknowledgements import ACKNOWLEDGEMENTS, STREAM_ENDED
from flags.propagation.runtime import RUNTIME
from flags.propagation.snapshots import snapshot_of
from flags.streaming.client import Client
from flags.streaming.feed import Feed
from flags.streaming.stream_events import StreamEvent, event_of
from flags.versions import loading
from flags.versions.steps import Step
from tenancy.authentication.keyring import KEYRING
from tenancy.process_memory import on_reset

log = structlog.get_logger(__name__)
TICK_SECONDS = 1.0
REPORT_SECONDS = 0.25


class UnknownEnvironmentError(LookupError):
    """This process has not heard of the environment's configuration."""


class Hub:
    """Lives on the event loop on which it was started. Only `_applied` is called from other threads."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.is_draining = False
        self._feeds: dict[int, Feed] = {}
        self._snapshots: dict[int, StreamEvent] = {}
        self._histories: dict[int, asyncio.Task[None]] = {}
        self._refreshing: asyncio.Task[bool] | None = None
        # Clients that name a version which this process does not know and could not confirm, and since when they wait.
        self._unconfirmed: dict[Client, float] = {}
        # Called on the event loop whenever a credential has changed, and when streams have to end.
        self._wakers: set[Callable[[], None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        # Clients in the order in which keep-alives are due. Closed ones are skipped when their turn comes.
        self._due: deque[tuple[float, Client]] = deque()

    def start(self) -> None:
        self.is_draining = False
        self._feeds, self._snapshots = {}, {}
        self._due.clear()
        self._unconfirmed.clear()
        self._loop = asyncio.get_running_loop()
        RUNTIME.observe(self._applied)
        KEYRING.observe(self._hear_of_keys)
        self._ticking = self._loop.create_task(self._tick_for_ever())
        self._reporting = self._loop.create_task(self._report_for_ever())

    async def stop(self) -> None:
        RUNTIME.unobserve(self._applied)
        KEYRING.unobserve(self._hear_of_keys)
        tasks = [task for task in (self._ticking, self._reporting) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def client_count(self) -> int:
        return sum(len(feed.clients) for feed in self._feeds.values())

    # -- Changes -----------------------------------------------------------------------------------------------------

    def _applied(self, environment_id: int, steps: Sequence[Step] | None, is_ahead: bool) -> None:
        """Called from the runtime's threads, in the order of the version log."""
        events = None if steps is None else [event_of(step, is_ahead=is_ahead) for step in steps]
        self._loop.call_soon_threadsafe(self._broadcast, environment_id, events)

    def _broadcast(self, environment_id: int, events: list[StreamEvent] | None) -> None:
        feed = self._feeds.get(environment_id)
        if feed is None:
            return
        if events is None:
            feed.restart(self._snapshot(environment_id))
            return
        for event in events:
            feed.broadcast(event)

    # -- Joining -----------------------------------------------------------------------------------------------------

    async def join(self, client: Client, last_version: int | None) -> None:
        """Queue for `client` what it missed since `last_version`, or a snapshot, and everything from then on.

        No event is lost or sent twice in between, because a change waits for the event loop's next turn. Raises
        UnknownEnvironmentError.
        """
        feed = self._feed(client.key.environment_id)
        joined_at = time.monotonic()
        # The version may come from a process that is some milliseconds ahead, or from a database that was lost since.
        is_confirmed = last_version is None or await self._hear_up_to(feed, last_version)
        if last_version is not None and not feed.has_history and self._may_reach(feed, last_version):
            await self._load_history(feed)
        if last_version is not None and feed.covers(last_version):
            client.version = last_version
            for event in feed.since(last_version):
                client.offer(event)
        elif last_version is not None and last_version > feed.version and not is_confirmed:
            client.version = last_version
            self._unconfirmed[client] = joined_at
        else:
            client.offer(self._snapshot(feed.environment_id))
        for kill in RUNTIME.kills_ahead(feed.environment_id):
            client.offer(event_of(kill, is_ahead=True))
        if self.is_draining:
            # Draining began after this client was admitted.
            client.close(retry_milliseconds=self._drain_milliseconds())
        if not client.is_closed:
            feed.clients.add(client)
            self._due.append((time.monotonic(), client))
            if client.instance:
                # It has applied the version that it names. Whether it applies a snapshot is known once it acknowledges.
                had = -1 if last_version is None else last_version
                ACKNOWLEDGEMENTS.add(feed.environment_id, client.instance, client.sdk, had)
            STREAM_CLIENTS.set(self.client_count)

    @staticmethod
    def _may_reach(feed: Feed, version: int) -> bool:
        return feed.oldest > version >= feed.version - settings.STREAM_CATCH_UP_STEPS

    def leave(self, client: Client) -> None:
        feed = self._feeds.get(client.key.environment_id or 0)
        if feed is not None and client in feed.clients:
            feed.clients.discard(client)
            if client.instance and not self.is_draining:
                # Whoever comes back within a minute is seen again, and on the board all the while.
                ACKNOWLEDGEMENTS.add(feed.environment_id, client.instance, client.sdk, ending=STREAM_ENDED)
            STREAM_CLIENTS.set(self.client_count)
            STREAM_CLOSED.labels("slow" if client.is_slow else "drained" if self.is_draining else "left").inc()

    def _feed(self, environment_id: int | None) -> Feed:
        environment = RUNTIME.environments.get(environment_id or 0)
        if environment is None or environment_id is None:
            raise UnknownEnvironmentError(environment_id)
        feed = self._feeds.get(environment_id)
        if feed is None:
            feed = Feed(environment_id, environment.version, most_events=settings.STREAM_CATCH_UP_STEPS)
            self._feeds[environment_id] = feed
        return feed

    def _snapshot(self, environment_id: int) -> StreamEvent:
        """The snapshot, encoded and signed once for each version and each rotation of keys, as `GET snapshot` is.

        A client that gets it does not get the events that it includes.
        """
        made = self._snapshots.get(environment_id)
        snapshot = snapshot_of(environment_id)
        if snapshot is None:
            raise UnknownEnvironmentError(environment_id)
        signatures = snapshot.signatures(environment_id)
        if made is None or made.body is not snapshot.body or made.signatures != signatures:
            made = StreamEvent(snapshot.version, SNAPSHOT, snapshot.body, signatures=signatures)
            self._snapshots[environment_id] = made
        return made

    async def _load_history(self, feed: Feed) -> None:
        """Fetch events from before this process listened. One fetch serves all clients that reconnect."""
        task = self._histories.get(feed.environment_id)
        if task is None:
            task = self._loop.create_task(self._fetch_history(feed))
            self._histories[feed.environment_id] = task
            task.add_done_callback(lambda _task: self._histories.pop(feed.environment_id, None))
        await asyncio.shield(task)

    async def _fetch_history(self, feed: Feed) -> None:
        after = max(0, feed.version - settings.STREAM_CATCH_UP_STEPS)
        steps, is_whole = await asyncio.to_thread(_history, feed.environment_id, after)
        feed.prepend(event_of(step) for step in steps)
        feed.has_history = is_whole

    async def newest_version(self, environment_id: int | None, version: int) -> tuple[bool, int]:
        """Whether it is certain, and the version that the environment has; asks the database if `version` is ahead."""
        feed = self._feed(environment_id)
        is_certain = await self._hear_up_to(feed, version)
        return is_certain, max(feed.version, RUNTIME.environments[feed.environment_id].version)

    async def _hear_up_to(self, feed: Feed, version: int) -> bool:
        """Fetch what this process lacks. False if `version` is still ahead and the database did not answer."""
        is_confirmed = True
        # It asks twice, because a query that was running already may have begun before `version` was written.
        for _ in range(2):
            if version <= feed.version:
                return True
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = self._loop.create_task(asyncio.to_thread(_refresh))
            is_confirmed = await asyncio.shield(self._refreshing)
        return is_confirmed or version <= feed.version

    # -- Time --------------------------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self.tick()
            except Exception:
                # Keep-alives and revocations must go on for the other clients.
                log.exception("stream_tick_failed")

    async def _report_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            await asyncio.to_thread(ACKNOWLEDGEMENTS.flush)

    def tick(self) -> None:
        """Send the keep-alives that are due, and end the streams whose credential is no longer valid."""
        now = time.monotonic()
        while self._due and now - self._due[0][0] >= settings.STREAM_KEEP_ALIVE_SECONDS:
            _, client = self._due.popleft()
            if client.is_closed:
                continue
            if not KEYRING.holds(client.key):
                client.close()
                continue
            client.keep_alive()
            if client.instance:
                ACKNOWLEDGEMENTS.add(client.key.environment_id, client.instance, client.sdk)
            self._due.append((now, client))
        self._settle(now)

    def _hear_of_keys(self) -> None:
        """Called from whichever thread has read the credentials."""
        self._loop.call_soon_threadsafe(self._keys_changed)

    def _keys_changed(self) -> None:
        """End the streams whose credential is no longer valid, and tell whoever waits for such news."""
        for feed in self._feeds.values():
            for client in tuple(feed.clients):
                if not KEYRING.holds(client.key):
                    client.close()
        for wake in tuple(self._wakers):
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Inside, call `wake` whenever a credential has changed, and when streams have to end."""
        self._wakers.add(wake)
        try:
            yield
        finally:
            self._wakers.discard(wake)

    def _settle(self, now: float) -> None:
        """Send a snapshot to clients that wait for a version which, as the database confirms, does not exist."""
        for client, since in tuple(self._unconfirmed.items()):
            is_confirmed = RUNTIME.age_seconds < now - since
            # This is read after the confirmation, so it includes what the database had.
            environment = RUNTIME.environments.get(client.key.environment_id or 0)
            if client.is_closed or environment is None or environment.version >= client.version:
                del self._unconfirmed[client]
            elif is_confirmed:
                del self._unconfirmed[client]
                client.version = -1
                client.offer(self._snapshot(client.key.environment_id or 0))

    def drain(self) -> None:
        """End every stream. Each client is told a random time within the window at which to reconnect."""
        self.is_draining = True
        for feed in self._feeds.values():
            for client in tuple(feed.clients):
                client.close(retry_milliseconds=self._drain_milliseconds())
        for wake in tuple(self._wakers):
            wake()

    @staticmethod
    def _drain_milliseconds() -> int:
        return random.randint(0, int(settings.STREAM_DRAIN_WINDOW_SECONDS * 1000))  # noqa: S311 - jitter, not a secret


def _refresh() -> bool:
    """In a worker thread: fetch what was missed, or ask Redis. Return whether PostgreSQL answered."""
    try:
        RUNTIME.refresh()
    except (DatabaseError, InterfaceError) as error:
        log.warning("stream_lost_database", error=type(error).__name__)
        try:
            RUNTIME.catch_up_from_copy()
        except RedisError as also:
            log.debug("stream_lost_redis", error=type(also).__name__)
        return False
    finally:
        # The worker thread may not run again, and its connection would stay open.
        connections.close_all()
    return True


def _history(environment_id: int, after: int) -> tuple[list[Step], bool]:
    """In a worker thread: the latest steps, and whether they are complete.

    They come from the version log, or from Redis if PostgreSQL is away.
    """
    try:
        return loading.recent_steps(environment_id, after), True
    except (DatabaseError, InterfaceError) as error:
        log.warning("stream_lost_database", error=type(error).__name__)
    finally:
        connections.close_all()
    try:
        return cold_start_copy.recent_steps(environment_id), False
    except RedisError as error:
        log.debug("stream_lost_redis", error=type(error).__name__)
        return [], False


HUB = Hub()
on_reset(HUB.reset)
