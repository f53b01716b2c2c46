"""The shapes of metrics and experiments, as the API answers them and the audit log keeps them."""

from datetime import datetime
from typing import Any, NotRequired, TypedDict


class MetricResource(TypedDict):
    """A metric. Fields that only some types have are there where they have a value."""

    key: str
    name: str
    type: str
    eventName: str
    goal: str
    windowHours: int | None
    cap: float | None
    version: int
    denominatorEventName: NotRequired[str]
    valueProperty: NotRequired[str]
    quantile: NotRequired[float]


class AnalysisResource(TypedDict):
    method: str
    alpha: float
    correction: str
    cuped: bool
    plannedUsers: int | None
    winsorizePercent: NotRequired[float]
    minimumEffect: NotRequired[float]
    liftPriorStandardDeviation: NotRequired[float]


class GuardrailResource(TypedDict):
    metric: str
    marginPercent: float | None
    action: str


class ExploratoryResource(TypedDict):
    """A metric that was added after the start: it decides nothing."""

    metric: str
    role: str
    since: datetime


class DecisionResource(TypedDict):
    """A decision. `to` is there where a variant was shipped to the audience alone."""

    decision: str
    variant: str | None
    to: NotRequired[str]


class ShareResource(TypedDict):
    variant: str
    percent: float


class OlderDefinition(TypedDict):
    """A running or paused experiment whose present phase keeps an older definition of a metric."""

    id: str
    name: str
    phase: int


class SecondaryDefinition(TypedDict):
    """A secondary metric of a phase. `exploratorySince` is when it was added, where that was after the start."""

    metric: MetricResource
    exploratorySince: str | None


class GuardrailDefinition(TypedDict):
    """A guardrail of a phase; as `SecondaryDefinition`."""

    metric: MetricResource
    marginPercent: float | None
    action: str
    exploratorySince: str | None


class PhaseDefinitions(TypedDict):
    """What a phase measures, as it was defined when the phase began."""

    primaryMetric: MetricResource
    secondaryMetrics: list[SecondaryDefinition]
    guardrails: list[GuardrailDefinition]
    winsorizePercent: float | None
    minimumEffect: NotRequired[float | None]


class PhaseResource(TypedDict):
    """A phase of an experiment. `results` is the path of its results."""

    number: int
    reason: str
    startedAt: datetime
    endedAt: datetime | None
    configVersion: int
    split: list[ShareResource]
    users: int
    crossovers: int
    metrics: PhaseDefinitions
    final: bool
    results: str


class ExperimentResource(TypedDict):
    """An experiment. `allocation` is None where the flag's allocation splits its users."""

    id: str
    key: str
    name: str
    hypothesis: str
    flagKey: str
    controlVariant: str
    layer: str | None
    trafficPercent: float
    audience: dict[str, Any] | None
    allocation: list[ShareResource] | None
    priority: int | None
    primaryMetric: str
    secondaryMetrics: list[str]
    guardrails: list[GuardrailResource]
    exploratory: NotRequired[list[ExploratoryResource]]
    analysis: AnalysisResource
    breakdowns: list[str]
    autoPauseOnSrm: bool
    status: str
    phase: int | None
    decision: DecisionResource | None
    startsAt: datetime | None
    endsAt: datetime | None
    startedAt: datetime | None
    endedAt: datetime | None
    version: int
    createdAt: datetime
    updatedAt: datetime
