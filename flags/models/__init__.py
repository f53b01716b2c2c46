"""Flags, segments, layers, the version log from which they are served, and where code refers to them."""

from flags.models.flags import (
    MAX_UNIT_NAME_CHARACTERS,
    Flag,
    FlagConfig,
    Layer,
    LayerSlot,
    Rule,
    Segment,
    UnitNamesField,
    key_syntax,
)
from flags.models.references import CodeReference, ScannedBranch
from flags.models.version_log import Change, LogFloor, SnapshotSigning

__all__ = [
    "MAX_UNIT_NAME_CHARACTERS",
    "Change",
    "CodeReference",
    "Flag",
    "FlagConfig",
    "Layer",
    "LayerSlot",
    "LogFloor",
    "Rule",
    "ScannedBranch",
    "Segment",
    "SnapshotSigning",
    "UnitNamesField",
    "key_syntax",
]
