"""The SDK's clients: they follow the configuration in the background, evaluate from memory, and send events."""

from openflagship.client.blocking import FlagShip
from openflagship.client.context import AnyContext, Context
from openflagship.client.hooks import Hook, Question
from openflagship.client.nonblocking import AsyncFlagShip
from openflagship.client.options import Options
from openflagship.client.sending.sinks import EventSink, FileSink, HttpSink, MemorySink
from openflagship.client.snapshots.stores import FileStore, MemoryStore, RedisStore, SnapshotStore
from openflagship.client.status import Status

__all__ = [
    "AnyContext",
    "AsyncFlagShip",
    "Context",
    "EventSink",
    "FileSink",
    "FileStore",
    "FlagShip",
    "Hook",
    "HttpSink",
    "MemorySink",
    "MemoryStore",
    "Options",
    "Question",
    "RedisStore",
    "SnapshotStore",
    "Status",
]
