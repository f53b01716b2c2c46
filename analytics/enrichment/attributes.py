"""Which attributes of an evaluation are kept with its exposure: those an environment or an experiment names, no others.

Looked up by the exposures' thread, which reads the names again every few seconds: no evaluation waits for that.
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

# The contract's own attributes, coarse enough to name nobody; an environment may choose others, or none.
DEFAULT_NAMES: Final = ("country", "plan", "platform")
REFRESH_SECONDS = 10.0
_LONGEST_TEXT = 256
_MOST_MEMBERS = 20

log = structlog.get_logger(__name__)

NamesByExperiment = Callable[[], Mapping[tuple[int, str], Collection[str]]]


class WantedAttributes:
    """One per process. Until it has read anything the defaults hold; with PostgreSQL away, what was read last."""

    def __init__(self) -> None:
        self._source: NamesByExperiment = dict
        self.reset()

    def reset(self) -> None:
        """Forget what was read; who is asked stays."""
        self._by_environment: dict[int, tuple[str, ...]] = {}
        self._by_experiment: dict[tuple[int, str], tuple[str, ...]] = {}
        self._next_refresh = 0.0
        self.was_read = False

    def also_from(self, source: NamesByExperiment) -> None:
        """Register what experiments want, by environment and experiment: the app above knows, this one does not."""
        self._source = source

    def refresh(self, *, force: bool = False) -> None:
        """Read the names again if that is due; never raises. For a thread with a connection of its own."""
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
        """The attributes to keep as JSON, None where there are none; whatever could not be stored is left out."""
        names = self._by_environment.get(environment_id, DEFAULT_NAMES)
        if experiment is not None:
            names = self._by_experiment.get((environment_id, experiment), names)
        kept = {name: attributes[name] for name in names if name in attributes and _is_kept(attributes[name])}
        if not kept:
            return None
        try:
            return orjson.dumps(kept).decode()
        except TypeError:  # numbers beyond 64 bits, text that is no Unicode
            return None


def _is_kept(value: Any) -> bool:
    """What conditions see: scalars and lists of them, of a sensible size."""
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
