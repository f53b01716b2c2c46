"""How many streams one key and one address may hold open at this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from openflagship.wire.limits import too_many_streams

from tenancy.process_memory import on_reset


class Places:
    """Lives on the event loop. Each open stream has one place of its key's and one of its address's."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, key: str, address: str) -> Iterator[None]:
        """Hold a place. Raises RefusedError where there is none."""
        self.take(key, address)
        try:
            yield
        finally:
            self.give_back(key, address)

    def take(self, key: str, address: str) -> None:
        """Raises RefusedError."""
        limits = {
            f"key:{key}": ("key", settings.STREAM_MAX_PER_KEY),
            f"address:{address}": ("address", settings.STREAM_MAX_PER_ADDRESS),
        }
        for holder, (kind, most) in limits.items():
            if self._taken[holder] >= most:
                raise too_many_streams(kind, most)
        self._taken.update(limits.keys())

    def give_back(self, key: str, address: str) -> None:
        for holder in (f"key:{key}", f"address:{address}"):
            self._taken[holder] -= 1
            if self._taken[holder] <= 0:
                del self._taken[holder]


PLACES = Places()
on_reset(PLACES.reset)
