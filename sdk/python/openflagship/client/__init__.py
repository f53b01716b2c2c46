"""The SDK's clients: configuration kept current in the background, evaluation from memory, events on their way out."""

from openflagship.client.blocking import FlagShip
from openflagship.client.evaluation import AnyContext
from openflagship.client.nonblocking import AsyncFlagShip
from openflagship.client.options import Options
from openflagship.client.status import Status
from openflagship.client.stores import FileStore, MemoryStore, RedisStore, SnapshotStore

__all__ = [
    "AnyContext",
    "AsyncFlagShip",
    "FileStore",
    "FlagShip",
    "MemoryStore",
    "Options",
    "RedisStore",
    "SnapshotStore",
    "Status",
]
