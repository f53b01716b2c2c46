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
    CONTRACT,
    decode_flag,
    decode_segment,
    decode_tree,
    environment_problems,
    snapshot_schema,
    validate_environment,
)
from openflagship.engine.encode import encode_flag, encode_segment, encode_tree
from openflagship.engine.environment import CompiledFlag, CompiledSegment, Environment
from openflagship.engine.explain import Explanation, Step
from openflagship.engine.impact import Impact, Move, Sample, impact
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
    "Explanation",
    "FlagConfig",
    "Impact",
    "Move",
    "Problem",
    "Sample",
    "SegmentConfig",
    "Step",
    "bucket",
    "deal",
    "decode_flag",
    "decode_segment",
    "decode_tree",
    "encode_flag",
    "encode_segment",
    "encode_tree",
    "environment_problems",
    "find_prerequisite_cycle",
    "find_segment_cycle",
    "impact",
    "moved_buckets",
    "reallocate",
    "snapshot_schema",
    "unit_text",
    "validate_environment",
]
