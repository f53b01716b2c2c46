"""What happens to a change when its base has moved: it fits, or somebody else changed the same fields."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.services import is_same

# Fields that no change names: bookkeeping, and what a kill or a release moves meanwhile.
_UNASKED: Final = frozenset({"version", "createdAt", "updatedAt", "killSwitchVariant", "killedAt", "killReason"})


@dataclass(frozen=True, slots=True)
class Clash:
    """A field that the request changes and that somebody else has changed since."""

    field: str
    base: Any
    theirs: Any
    mine: Any


def moved(base: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """Return the fields that differ between two states of one resource; `*` where it was made or deleted."""
    if base is None or now is None:
        return [] if base is now else ["*"]
    names = sorted((base.keys() | now.keys()) - _UNASKED)
    return [name for name in names if not is_same(base.get(name), now.get(name))]


def clashes(
    base: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    patch: Mapping[str, Any],
    *,
    touched: Collection[str] | None,
) -> list[Clash]:
    """Return what a person has to decide. `touched` are the fields that the change sets; None: all of them.

    A field that both set to the same value is no clash: both wanted that.
    """
    found = []
    for name in moved(base, now):
        if name == "*":
            found.append(Clash("*", base, now, dict(patch)))
        elif touched is None or (name in touched and not is_same((now or {}).get(name), patch.get(name))):
            found.append(Clash(name, (base or {}).get(name), (now or {}).get(name), patch.get(name)))
    return found
