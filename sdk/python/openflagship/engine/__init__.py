"""The evaluation engine: the same document gives the same answer everywhere. It knows no storage, network or clock."""

from openflagship.engine.answer import Answer
from openflagship.engine.bucketing import (
    BUCKETS,
    Allocation,
    AllocationRange,
    bucket,
    buckets_by_variant,
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
from openflagship.engine.environment import CompiledEnvironment, CompiledFlag, CompiledSegment
from openflagship.engine.explain import Explanation, TraceStep
from openflagship.engine.impact import Impact, Move, Sample, impact
from openflagship.engine.links import find_prerequisite_cycle, find_segment_cycle
from openflagship.engine.model import FlagDefinition, SegmentDefinition
from openflagship.engine.problems import DecodeError, DocumentProblem

__all__ = [
    "BUCKETS",
    "CONTRACT",
    "Allocation",
    "AllocationRange",
    "Answer",
    "CompiledEnvironment",
    "CompiledFlag",
    "CompiledSegment",
    "Context",
    "DecodeError",
    "DocumentProblem",
    "Explanation",
    "FlagDefinition",
    "Impact",
    "Move",
    "Sample",
    "SegmentDefinition",
    "TraceStep",
    "bucket",
    "buckets_by_variant",
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
