"""Export files of other products, converted to an export of FlagShip and a list of what was lost.

Every product hashes users in its own way, so a percentage keeps its size, and other users are in it. What has no
counterpart is left out and noted, so that nobody gets more than before.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flags.exchange import flagsmith, growthbook, launchdarkly, unleash
from flags.exchange.notes import Notes

_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str | None, Notes], dict[str, Any]]] = {
    "launchdarkly": launchdarkly.convert,
    "unleash": unleash.convert,
    "flagsmith": flagsmith.convert,
    "growthbook": growthbook.convert,
}
FORMATS = tuple(_CONVERTERS)


def convert(
    kind: str, data: Mapping[str, Any], *, environment: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what `import_environment` takes, and the notes. Raises Invalid for a file that is not that product's."""
    notes = Notes()
    return _CONVERTERS[kind](data, environment, notes), notes.found
