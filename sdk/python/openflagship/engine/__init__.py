"""The evaluation engine: one document in, the same answer everywhere out. Knows no storage, no network, no clock."""

from openflagship.engine.answer import Answer
from openflagship.engine.bucketing import (
    BUCKETS,
    Allocation,
    AllocationRange,
    bucket,
    deal,
    moved_buckets,
    reallocate,
    unit_text,
)
from openflagship.engine.context import Context
from openflagship.engine.decode import (
    decode_flag,
    decode_segment,
    decode_tree,
    environment_problems,
    validate_environment,
)
from openflagship.engine.environment import CONTRACT, CompiledFlag, CompiledSegment, Environment
from openflagship.engine.links import find_prerequisite_cycle, find_segment_cycle
from openflagship.engine.model import FlagConfig, SegmentConfig
from openflagship.engine.problems import DecodeError, Problem

__all__ = [
    "BUCKETS",
    "CONTRACT",
    "Allocation",
    "AllocationRange",
    "Answer",
    "CompiledFlag",
    "CompiledSegment",
    "Context",
    "DecodeError",
    "Environment",
    "FlagConfig",
    "Problem",
    "SegmentConfig",
    "bucket",
    "deal",
    "decode_flag",
    "decode_segment",
    "decode_tree",
    "environment_problems",
    "find_prerequisite_cycle",
    "find_segment_cycle",
    "moved_buckets",
    "reallocate",
    "unit_text",
    "validate_environment",
]
