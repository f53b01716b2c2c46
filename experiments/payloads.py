"""The shapes of computed results, as the API answers them and stored rows keep them.

A computed result carries instants, a stored one their ISO text; every other value is the same in both.
"""

from datetime import datetime
from typing import NotRequired, TypedDict

Instant = datetime | str
# [low, high]; None where there is no interval.
Limits = list[float] | None


class VariantFigures(TypedDict):
    """One metric in one variant. `ci` is the interval of a rate."""

    key: str
    users: int
    conversions: int | None
    rate: float | None
    mean: float | None
    total: float
    standardDeviation: float | None
    ci: Limits


class WeightedVariantFigures(VariantFigures):
    """The primary metric in one variant. `weight` is the variant's share of the split, 0 to 1."""

    weight: float
    isControl: bool


class MetricFigures(TypedDict):
    """One secondary metric in every variant."""

    metric: str
    variants: list[VariantFigures]


class ExpectedLoss(TypedDict):
    """What each choice would cost on average, in the unit that `expectedLossOf` names."""

    ship: float | None
    keep: float | None


class PriorResult(TypedDict):
    """What was assumed before the data: nothing ("flat"), or lifts around 0 ("lift", with their standard deviation).

    `weight` is the share of the estimate that comes from it.
    """

    kind: str
    standardDeviation: float | None
    weight: float | None


class CupedHealth(TypedDict):
    """What the users' past explains: its coefficient, its correlation with the figure, and the variance it removes."""

    theta: float
    correlation: float | None
    varianceRemoved: float | None


class PrePeriod(TypedDict):
    """The metric in the 14 days before each user's first exposure. `standardErrors` is the difference in its own error.

    `balanced` holds over all looks together; None where too few users did anything.
    """

    control: float | None
    treatment: float | None
    standardErrors: float | None
    balanced: bool | None


class ComparisonResult(TypedDict):
    """One metric of one variant against the control.

    `liftOf` says what is compared: the metric's figure, or `shareAbove`, the share of events above a tied quantile
    (`lookLiftOf` for the fields of the look). `expectedLoss` and `credibleInterval` are of `credibleIntervalOf`.
    `exploratory` is True where the metric was added after the start, with `exploratorySince`: it decides nothing.
    Fields that begin with `look` are about the users who decide: those with complete windows, or the planned ones.
    `lookCi` decides; always-valid experiments intersect it over all looks. `constant` is False where that is empty, or
    where the present interval holds 0 after a significant look. Older stored results lack these fields.
    """

    metric: str
    role: str
    variant: str
    control: str
    absoluteLift: float | None
    relativeLift: float | None
    ci: Limits
    relativeCi: Limits
    ciLevel: float
    pValue: float | None
    sequentialCi: Limits
    sequentialCiLevel: float
    sequentialPValue: float | None
    lookPValue: NotRequired[float | None]
    lookLift: float | None
    lookRelativeLift: float | None
    lookControl: float | None
    lookCi: Limits
    constant: bool | None
    adjustedPValue: float | None
    adjustedFrom: str
    correction: str
    exploratory: NotRequired[bool]
    exploratorySince: NotRequired[str]
    significant: bool | None
    direction: str | None
    probabilityToBeat: float | None
    expectedLoss: ExpectedLoss
    credibleInterval: Limits
    credibleIntervalOf: str
    varianceReduction: float | None
    liftOf: NotRequired[str]
    lookLiftOf: NotRequired[str]
    prior: NotRequired[PriorResult]
    expectedLossOf: NotRequired[str]
    cuped: NotRequired[CupedHealth | None]
    prePeriod: NotRequired[PrePeriod | None]


class DailyRatio(TypedDict):
    """The sample ratio of one day's new users."""

    date: str
    observed: dict[str, int]
    pValue: float | None
    adjustedPValue: float | None
    warning: bool
    complete: bool


class SequentialRatio(TypedDict):
    """The evidence against the split that has gathered over the complete days."""

    pValue: float | None
    logEvidence: float | None
    logLimit: float


class CrossoverShare(TypedDict):
    """Users who saw more than one variant. `pValue` tests the variants that they saw first."""

    users: int
    share: float
    pValue: float | None
    warning: bool


class RatioWithBots(TypedDict):
    """The overall sample ratio with the bots left in. `reason` says why figures are null."""

    observed: dict[str, int] | None
    chiSquare: float | None
    pValue: float | None
    warning: bool | None
    reason: str | None


class RatioResult(TypedDict):
    """Whether users arrived in the proportions of the split."""

    chiSquare: float | None
    degreesOfFreedom: int
    pValue: float | None
    warning: bool
    alarm: bool
    expected: dict[str, float]
    observed: dict[str, int]
    unexpectedUsers: int
    daily: list[DailyRatio]
    sequential: SequentialRatio
    crossovers: CrossoverShare


class RatioBeforeAndAfterBots(RatioResult):
    """As `RatioResult`, beside the same with the bots left in."""

    beforeBots: RatioWithBots


class RatioSummary(TypedDict):
    """The part of `RatioResult` that the time series of stored results shows."""

    chiSquare: float | None
    pValue: float | None
    warning: bool
    alarm: bool
    observed: dict[str, int]


class GuardrailResult(TypedDict):
    """One guardrail of one variant. `status` is pass, violated or undecided."""

    metric: str
    variant: str
    marginPercent: float | None
    action: str
    control: float | None
    treatment: float | None
    relativeLift: float | None
    bound: float | None
    pValue: float | None
    passed: bool | None
    violated: bool
    status: str
    exploratory: NotRequired[bool]
    exploratorySince: NotRequired[str]


class Excluded(TypedDict):
    """What the figures leave out: bots, crossovers and targeted ones are users, late ones are events.

    Targeted users took part, and were on a single target at some time in the phase; absent where there are none.
    """

    bots: int
    crossovers: int
    targeted: NotRequired[int]
    late: int


class FirstVariantComparison(TypedDict):
    """The primary metric with crossovers kept in the variant that they saw first."""

    metric: str
    variant: str
    control: str
    users: dict[str, int]
    absoluteLift: float | None
    relativeLift: float | None
    ci: Limits
    relativeCi: Limits
    pValue: float | None
    reasons: list[str]
    liftOf: NotRequired[str]


class Sensitivity(TypedDict):
    """`byFirstVariant` is None up to 1 % of crossovers."""

    byFirstVariant: list[FirstVariantComparison] | None


class Recommendation(TypedDict):
    """What to do: `action` is an `Act`, `reason` the `Reason` (experiments.decisions.outcome) that decided."""

    action: str
    reason: NotRequired[str]
    variant: str | None
    text: str
    reasons: list[str]
    caveats: NotRequired[list[str]]


class SegmentComparison(TypedDict):
    """One variant against the control within one segment; p-values are corrected over all segments."""

    variant: str
    absoluteLift: float | None
    relativeLift: float | None
    ci: Limits
    pValue: float | None
    adjustedPValue: float | None
    significant: bool | None
    reasons: list[str]
    liftOf: NotRequired[str]


class SegmentResult(TypedDict):
    """The primary metric among the users who carried one value of the attribute."""

    value: str
    users: int
    variants: list[VariantFigures]
    comparisons: list[SegmentComparison]


class Breakdown(TypedDict):
    """The primary metric by the values of one attribute, the largest segments first."""

    attribute: str
    correction: str
    segments: list[SegmentResult]
    unknownUsers: int
    otherUsers: int


class ResultHeader(TypedDict):
    """The experiment that the results are about, as it was when they were computed."""

    id: str
    name: str
    hypothesis: str
    flagKey: str
    status: str
    controlVariant: str
    primaryMetric: str
    goal: str
    method: str
    alpha: float
    correction: str
    plannedUsers: int | None
    tunedUsers: NotRequired[int]
    minimumEffect: NotRequired[float | None]
    startedAt: Instant | None
    endedAt: Instant | None


class ResultWindow(TypedDict):
    """The stretch of time that the results are about. `weights` are basis points by variant."""

    since: Instant
    until: Instant
    asOf: Instant
    phase: int
    weights: dict[str, int]
    frozen: bool


class Results(TypedDict):
    """What `GET experiments/{id}/results` answers, and what a stored row keeps.

    `prefetched` are the window's exposures of bulk answers, bots left out; a row stored before they were told apart
    has none. `intact` is there, and False, where a stored row was changed: then every figure is null.
    """

    experiment: ResultHeader
    window: ResultWindow
    configVersions: list[int]
    watermark: Instant | None
    variants: list[WeightedVariantFigures]
    metrics: list[MetricFigures]
    comparisons: list[ComparisonResult]
    srm: RatioBeforeAndAfterBots
    guardrails: list[GuardrailResult]
    excluded: Excluded
    prefetched: NotRequired[int]
    sensitivity: Sensitivity
    recommendation: Recommendation
    caveats: list[str]
    breakdown: NotRequired[Breakdown]
    intact: NotRequired[bool]


class StoredResultPoint(TypedDict):
    """One point of the time series of stored results; `comparisons` are those of the primary metric.

    `final`: nothing that counts can arrive any more. Not `intact`: the row was changed after it was stored.
    """

    id: str
    phase: int
    since: datetime
    until: datetime
    watermark: datetime | None
    configVersions: list[int]
    computedAt: datetime
    durationMs: int
    codeVersion: str
    digest: str
    final: bool
    intact: bool
    comparisons: list[ComparisonResult]
    srm: RatioSummary
    recommendation: Recommendation
