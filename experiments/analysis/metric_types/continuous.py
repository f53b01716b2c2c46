"""The sum of values per user."""

from analytics.selectors import Kind
from experiments.analysis.metric_types.fields import CAP, VALUE_PROPERTY
from experiments.analysis.metric_types.per_user import PerUserType
from experiments.analysis.metric_types.power import MeanPower
from experiments.statistics.distributions import Floats


class Continuous(PerUserType):
    """A mean of users' totals: Welch's t."""

    key = "continuous"
    label = "Continuous (sum of values per user)"
    fields = frozenset({VALUE_PROPERTY, CAP})
    kind = Kind.TOTAL
    power = MeanPower()

    def user_figures(self, sums: Floats, counts: Floats) -> Floats:  # noqa: ARG002 - numbers of events do not matter
        return sums
