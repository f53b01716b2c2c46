"""Raw events, append-only and partitioned by the time in their ids; what is derived from them; dead letters; usage."""

from analytics.models.events import Conversion, DeadLetter, Exposure, LateHour
from analytics.models.experiments import (
    CohortChange,
    CohortSize,
    ConversionDay,
    ExperimentFlag,
    ExposurePhase,
    FirstExposure,
)
from analytics.models.flags import FlagDayRollup, FlagDayStep, FlagExposureHour, FlagHourSketch, FlagUnitDays
from analytics.models.policies import BotUnit, DerivedRevision, EventPolicy
from analytics.models.rollups import CohortDistribution, CohortPair, CohortSegment, SegmentDay, UnitSegment
from analytics.models.usage import FlagUsage, FlagUsageHours, FlagUsageMonth, UnknownFlag, UsageReceipt, UsageSource

__all__ = [
    "BotUnit",
    "CohortChange",
    "CohortDistribution",
    "CohortPair",
    "CohortSegment",
    "CohortSize",
    "Conversion",
    "ConversionDay",
    "DeadLetter",
    "DerivedRevision",
    "EventPolicy",
    "ExperimentFlag",
    "Exposure",
    "ExposurePhase",
    "FirstExposure",
    "FlagDayRollup",
    "FlagDayStep",
    "FlagExposureHour",
    "FlagHourSketch",
    "FlagUnitDays",
    "FlagUsage",
    "FlagUsageHours",
    "FlagUsageMonth",
    "LateHour",
    "SegmentDay",
    "UnitSegment",
    "UnknownFlag",
    "UsageReceipt",
    "UsageSource",
]
