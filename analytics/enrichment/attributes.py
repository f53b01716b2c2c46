"""Chooses the attributes that are stored with an exposure: those that its environment or experiment names.

The exposures' thread reads the names again every few seconds; no evaluation waits for that.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import orjson
import structlog
from django.db import Error as DatabaseError
from django.db import connection

from analytics.models import EventPolicy
from tenancy.process_memory import on_reset

# The contract's own attributes, too coarse to identify a person. An environment may choose others, or none.
DEFAULT_NAMES: Final = ("country", "plan", "platform")
REFRESH_SECONDS = 10.0
_LONGEST_TEXT = 256
_MOST_MEMBERS = 20

log = structlog.get_logger(__name__)

NamesByExperiment = Callable[[], Mapping[tuple[int, str], Collection[str]]]


class WantedAttributes:
    """One per process. Before the first reading the defaults hold; while PostgreSQL is away, the last reading."""

    def __init__(self) -> None:
        self._source: NamesByExperiment = dict
        self.reset()

    def reset(self) -> None:
        """Forget the names that were read. The registered source stays."""
        self._by_environment: dict[int, tuple[str, ...]] = {}
        self._by_experiment: dict[tuple[int, str], tuple[str, ...]] = {}
        self._next_refresh = 0.0
        self.was_read = False

    def also_from(self, source: NamesByExperiment) -> None:
        """Register the source of the names that experiments need, by environment and experiment."""
        self._source = source

    def refresh(self, *, force: bool = False) -> None:
        """Read the names again if that is due. Never raises; closes the thread's connection."""
        now = time.monotonic()
        if now < self._next_refresh and not force:
            return
        self._next_refresh = now + REFRESH_SECONDS
        try:
            self.read()
        except DatabaseError as error:
            log.warning("the attributes to keep are those known before", because=str(error))
        finally:
            self.was_read = True
            connection.close()

    def read(self) -> None:
        chosen = EventPolicy.objects.filter(exposure_attributes__isnull=False)
        by_environment = {
            environment_id: tuple(names or ())
            for environment_id, names in chosen.values_list("environment_id", "exposure_attributes")
        }
        by_experiment = {
            (environment_id, experiment): tuple({*by_environment.get(environment_id, DEFAULT_NAMES), *names})
            for (environment_id, experiment), names in self._source().items()
        }
        self._by_environment, self._by_experiment = by_environment, by_experiment

    def text_of(self, environment_id: int, experiment: str | None, attributes: Mapping[str, Any]) -> str | None:
        """Return the attributes to store, as JSON, or None. Values that cannot be stored are left out."""
        names = self._by_environment.get(environment_id, DEFAULT_NAMES)
        if experiment is not None:
            names = self._by_experiment.get((environment_id, experiment), names)
        chosen = {name: attributes[name] for name in names if name in attributes and _is_storable(attributes[name])}
        if not chosen:
            return None
        try:
            return orjson.dumps(chosen).decode()
        except TypeError:  # a number beyond 64 bits, or text that is not Unicode
            return None


def _is_storable(value: Any) -> bool:
    """Whether conditions can use the value: scalars and lists of them, of limited size."""
    if isinstance(value, list):
        return len(value) <= _MOST_MEMBERS and all(_is_scalar(member) for member in value)
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        # PostgreSQL's JSON has no zero character.
        return len(value) <= _LONGEST_TEXT and "\x00" not in value
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, int))


WANTED = WantedAttributes()
on_reset(WANTED.reset)
