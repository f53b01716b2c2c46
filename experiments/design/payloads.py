"""The shapes of what is answered before an experiment starts: the pre-flight check and the power calculator."""

from typing import TypedDict


class Refusal(TypedDict):
    """Why an experiment may not start."""

    attr: str | None
    code: str
    detail: str


class DurationForecast(TypedDict):
    """How long an experiment takes at the traffic of the last 7 days."""

    usersPerDay: float
    recentEvents: int
    audienceShare: float | None
    baselineRate: float | None
    baselineMean: float | None
    baselineStandardDeviation: float | None
    assumedLift: float
    assumedPower: float
    usersNeeded: int | None
    days: int | None


class ServedShare(TypedDict):
    variant: str | None
    share: float


class EnablingForecast(TypedDict):
    """What switching the flag on does to those who take no part and whom no target and no rule decides."""

    before: list[ServedShare]
    after: list[ServedShare]
    changed: float
    decidedByRules: bool
    text: str


class GroupImpact(TypedDict):
    """What an act changes for one group, among those whom no target and no rule before decides."""

    group: str
    before: list[ServedShare]
    after: list[ServedShare]
    changed: float
    text: str


class ActImpact(TypedDict):
    """What `POST experiments/{id}/impact` answers, but for what a decision speaks against."""

    act: str
    groups: list[GroupImpact]


class PreflightResult(TypedDict):
    """What `GET experiments/{id}/preflight` answers."""

    mayStart: bool
    refusals: list[Refusal]
    warnings: list[str]
    estimate: DurationForecast | None
    enabling: EnablingForecast | None


class UsersPerArm(TypedDict):
    control: int
    treatment: int


class PowerAnswer(TypedDict):
    """What `POST experiments/power` answers; `users` counts both arms."""

    users: int | None
    usersPerArm: UsersPerArm | None
    minimumDetectableEffect: float | None
    absoluteEffect: float | None
    power: float | None
    inflation: float
    reason: str | None
