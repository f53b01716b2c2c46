"""What the apps above know of the names in events: flags, variants, units and metrics. Each registers its source."""

from collections.abc import Callable, Collection, Mapping

Variants = Mapping[str, Collection[str] | None]
Flags = Callable[[int], Variants | None]
Units = Callable[[int], Collection[str]]
Metrics = Callable[[int, Collection[str]], Mapping[str, str]]


class KnownNames:
    """One per process. It remembers nothing but its sources; without one, nothing is known."""

    def __init__(self) -> None:
        self._flags: Flags = lambda _: None
        self._units: Units = lambda _: ()
        self._metrics: Metrics = lambda _, keys: {key: key for key in keys}

    def flags_from(self, flags: Flags, units: Units) -> None:
        self._flags, self._units = flags, units

    def metrics_from(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def flags(self, environment_id: int) -> Variants | None:
        """The variants of each flag that is served, None for one not understood; None where nothing is known here."""
        return self._flags(environment_id)

    def units(self, environment_id: int) -> Collection[str]:
        """The attributes, other than the user's id, that some flag of the environment buckets by."""
        return self._units(environment_id)

    def event_names(self, environment_id: int, keys: Collection[str]) -> Mapping[str, str]:
        """The event name that each metric key stands for. Keys that no metric has, and no metric counts, are left out.

        Raises DatabaseError.
        """
        return self._metrics(environment_id, keys)


KNOWN_NAMES = KnownNames()
