"""The SDK's clients: they follow the configuration in the background, evaluate from memory, and send events."""

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
