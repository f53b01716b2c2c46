"""What a sample size is worked out from: a rate, or a mean with its deviation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from experiments.statistics.power import (
    DetectableEffect,
    Power,
    SampleSize,
    detectable_mean,
    detectable_proportion,
    power_means,
    power_proportions,
    sample_size_means,
    sample_size_proportions,
)
from tenancy.errors import Invalid

_OUT_OF_RANGE = "out_of_range"


@dataclass(frozen=True, slots=True)
class Population:
    """The control's figure and one user's standard deviation, which a rate does not need."""

    baseline: float
    sd: float = 0.0


class PowerModel(ABC):
    """Users, effect and power of a two-sided test. Effects are relative to the baseline, `ratio` is treatment/control.

    `users` are those of control and treatment.
    """

    # As `POST experiments/power` calls it.
    key: ClassVar[str]

    @abstractmethod
    def check(self, population: Population) -> None:
        """Raises Invalid where nothing can be planned from it."""

    @abstractmethod
    def check_effect(self, population: Population, effect: float) -> None:
        """Raises Invalid for an effect that cannot be."""

    @abstractmethod
    def sample_size(
        self, population: Population, effect: float, *, alpha: float, power: float, ratio: float
    ) -> SampleSize: ...

    @abstractmethod
    def detectable_effect(
        self, population: Population, users: tuple[float, float], *, alpha: float, power: float
    ) -> DetectableEffect: ...

    @abstractmethod
    def power(self, population: Population, effect: float, users: tuple[float, float], *, alpha: float) -> Power: ...


class RatePower(PowerModel):
    """Of a share of users; its deviation follows from the rate."""

    key = "binary"

    def check(self, population: Population) -> None:
        if not 0 < population.baseline < 1:
            raise Invalid("A rate lies between 0 and 1, such as 0.1.", attr="baseline", code=_OUT_OF_RANGE)

    def check_effect(self, population: Population, effect: float) -> None:
        if not 0 <= population.baseline * (1 + effect) <= 1:
            remedy = "The changed rate would leave 0 to 1; give a smaller effect."
            raise Invalid(remedy, attr="minimumDetectableEffect", code=_OUT_OF_RANGE)

    def sample_size(
        self, population: Population, effect: float, *, alpha: float, power: float, ratio: float
    ) -> SampleSize:
        return sample_size_proportions(population.baseline, _changed(population, effect), alpha, power, ratio)

    def detectable_effect(
        self, population: Population, users: tuple[float, float], *, alpha: float, power: float
    ) -> DetectableEffect:
        return detectable_proportion(population.baseline, *users, alpha, power)

    def power(self, population: Population, effect: float, users: tuple[float, float], *, alpha: float) -> Power:
        return power_proportions(population.baseline, _changed(population, effect), *users, alpha)


class MeanPower(PowerModel):
    """Of a mean over users, from the users' own deviation."""

    key = "continuous"

    def check(self, population: Population) -> None:
        if not population.baseline:
            remedy = "A change relative to 0 does not exist; give another baseline."
            raise Invalid(remedy, attr="baseline", code=_OUT_OF_RANGE)
        if population.sd <= 0:
            raise Invalid("Give the users' deviation, above 0.", attr="standardDeviation", code=_OUT_OF_RANGE)

    def check_effect(self, population: Population, effect: float) -> None:
        """A mean may change to any figure."""

    def sample_size(
        self, population: Population, effect: float, *, alpha: float, power: float, ratio: float
    ) -> SampleSize:
        return sample_size_means(population.sd, abs(effect * population.baseline), alpha, power, ratio)

    def detectable_effect(
        self, population: Population, users: tuple[float, float], *, alpha: float, power: float
    ) -> DetectableEffect:
        return detectable_mean(population.sd, *users, alpha, power, baseline=population.baseline)

    def power(self, population: Population, effect: float, users: tuple[float, float], *, alpha: float) -> Power:
        return power_means(population.sd, abs(effect * population.baseline), *users, alpha)


def _changed(population: Population, effect: float) -> float:
    """The rate with the effect, at most 1."""
    return min(1.0, population.baseline * (1 + effect))
