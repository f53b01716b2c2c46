"""The names that the runtime serves, for events that name them: flags, their variants, and what flags bucket by."""

from collections.abc import Iterator, Mapping

from openflagship.engine import CompiledEnvironment

from flags.propagation.runtime import RUNTIME
from tenancy.process_memory import on_reset


class _Variants(Mapping[str, frozenset[str] | None]):
    """Worked out for the flags that are asked for; None for a flag that is not understood."""

    def __init__(self, environment: CompiledEnvironment) -> None:
        self._flags = environment.flags

    def __getitem__(self, key: str) -> frozenset[str] | None:
        config = self._flags[key].config
        return None if config is None else frozenset(variant.key for variant in config.variants)

    def __contains__(self, key: object) -> bool:
        return key in self._flags

    def __iter__(self) -> Iterator[str]:
        return iter(self._flags)

    def __len__(self) -> int:
        return len(self._flags)


class _Units:
    """What the flags of each environment bucket by, other than the user's id; worked out once for each version."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._known: dict[int, tuple[CompiledEnvironment, frozenset[str]]] = {}

    def of(self, environment_id: int) -> frozenset[str]:
        environment = RUNTIME.environments.get(environment_id)
        if environment is None:
            return frozenset()
        known = self._known.get(environment_id)
        if known is None or known[0] is not environment:
            known = self._known[environment_id] = (environment, _units_of(environment))
        return known[1]


def _units_of(environment: CompiledEnvironment) -> frozenset[str]:
    named = (flag.bucket_by for flag in environment.flags.values())
    found = {name for each in named for name in ((each,) if isinstance(each, str) else each)}
    return frozenset(found - {"userId"})


UNITS = _Units()
on_reset(UNITS.reset)


def served_flags(environment_id: int) -> Mapping[str, frozenset[str] | None] | None:
    environment = RUNTIME.environments.get(environment_id)
    return None if environment is None else _Variants(environment)


def served_units(environment_id: int) -> frozenset[str]:
    return UNITS.of(environment_id)
