"""JSON values that nobody can change: all evaluations that end alike share one object."""

from __future__ import annotations

from typing import Any, Final, NoReturn

_ADVICE: Final = "This value belongs to the configuration: change a copy of it (copy.deepcopy)."


def _refuse(*_given: object, **_named: object) -> NoReturn:
    raise TypeError(_ADVICE)


class FrozenDict(dict[str, Any]):
    """A dict that refuses changes. Copies of it, pickled ones too, are plain."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return thawed, (dict(self),)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, _memo: Any) -> Any:
        return thawed(self)


class FrozenList(list[Any]):
    """A list that refuses changes. Copies of it, pickled ones too, are plain."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return thawed, (list(self),)

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, _memo: Any) -> Any:
        return thawed(self)


def frozen(value: Any) -> Any:
    """The value with every dict and list in it frozen; anything else as it is."""
    if isinstance(value, dict):
        return FrozenDict({name: frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return FrozenList([frozen(member) for member in value])
    return value


def thawed(value: Any) -> Any:
    """A copy of the value with plain dicts and lists; anything else as it is."""
    if isinstance(value, dict):
        return {name: thawed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [thawed(member) for member in value]
    return value
