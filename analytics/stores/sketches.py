"""Sketches of units: how many different ones there are, within a known error, however often they are added.

A sketch is a HyperLogLog of Apache DataSketches. Sketches merge: that of two hours counts a unit of both once. A sketch
holds no ids. It never forgets a unit, so it is made anew from raw rows after an erasure.
"""

from collections.abc import Iterable
from typing import Final

from datasketches import hll_sketch, hll_union, tgt_hll_type

# Of 2 to this power registers of four bits. Up to a few hundred units a sketch lists them, and is exact in practice.
_LG_REGISTERS = 12
# The standard error of an estimate, as a share of it: 95 of 100 estimates are within twice that.
RELATIVE_ERROR: Final = round(1.04 / 2 ** (_LG_REGISTERS / 2), 4)


class UnitSketch:
    """Different units, counted without their ids."""

    def __init__(self, *packed: bytes) -> None:
        self._union = hll_union(_LG_REGISTERS)
        for one in packed:
            self.merge(one)

    def merge(self, packed: bytes | memoryview) -> None:
        """Add the units of another sketch; nothing is that of nobody."""
        if packed:
            self._union.update(hll_sketch.deserialize(bytes(packed)))

    def add(self, units: Iterable[str]) -> None:
        update = self._union.update
        for unit in units:
            update(unit)

    def packed(self) -> bytes:
        return bytes(self._union.get_result(tgt_hll_type.HLL_4).serialize_compact())

    @property
    def users(self) -> int:
        return round(self._union.get_estimate())
