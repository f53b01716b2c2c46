"""The analysis methods of an experiment, and the names that the statistics have for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.models import Experiment
from experiments.statistics import always_valid, group_sequential


@dataclass(frozen=True, slots=True)
class AnalysisMethod:
    """`simulated_as` is its name among the simulation's methods.

    `spending` names the function that spends alpha over the looks at a planned number of users; None spends none.
    """

    simulated_as: str
    spending: str | None = None
    is_always_valid: bool = False

    @property
    def needs_planned_users(self) -> bool:
        return self.spending is not None

    def inflation(self, looks: int, alpha: float, power: float) -> float:
        """How many more users it plans for with several looks than a test with one look at the end."""
        if self.is_always_valid:
            return always_valid.inflation_factor(looks, alpha, power)
        if self.spending is not None:
            return group_sequential.inflation_factor(looks, alpha, power, f"{self.spending}_spending")
        return 1.0


METHODS: Mapping[str, AnalysisMethod] = {
    Experiment.Method.ALWAYS_VALID: AnalysisMethod("always_valid", is_always_valid=True),
    Experiment.Method.POCOCK: AnalysisMethod("pocock", spending="pocock"),
    Experiment.Method.OBRIEN_FLEMING: AnalysisMethod("obf", spending="obf"),
    Experiment.Method.FIXED: AnalysisMethod("fixed"),
}
