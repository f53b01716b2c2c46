"""Flags, segments, layers, the version log from which they are served, where code refers to them, and flag debt."""

from flags.models.flags import (
    MAX_LINKS,
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
from flags.models.lifecycle import DebtDay
from flags.models.references import CodeReference, ScannedBranch
from flags.models.version_log import Change, LogFloor, SnapshotSigning

__all__ = [
    "MAX_LINKS",
    "MAX_UNIT_NAME_CHARACTERS",
    "Change",
    "CodeReference",
    "DebtDay",
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
