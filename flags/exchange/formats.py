"""Export files of other products, turned into an export of ours and a list of what could not be carried over.

Every other product hashes users in a way of its own, so a percentage keeps its size and not its members. What cannot be
said in our terms is left out so that nobody gets more than before, and noted.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flags.exchange import flagsmith, launchdarkly, unleash
from flags.exchange.notes import Notes

_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str | None, Notes], dict[str, Any]]] = {
    "launchdarkly": launchdarkly.convert,
    "unleash": unleash.convert,
    "flagsmith": flagsmith.convert,
}
FORMATS = tuple(_CONVERTERS)


def convert(
    kind: str, data: Mapping[str, Any], *, environment: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what `import_environment` takes, and the notes. Raises Invalid for a file that is not that product's."""
    notes = Notes()
    return _CONVERTERS[kind](data, environment, notes), notes.found
