"""Events per user."""

from analytics.selectors import Kind
from experiments.analysis.metric_types.fields import CAP
from experiments.analysis.metric_types.per_user import PerUserType
from experiments.analysis.metric_types.power import MeanPower
from experiments.statistics.distributions import Floats


class Count(PerUserType):
    """A mean of numbers of events: Welch's t."""

    key = "count"
    label = "Count (events per user)"
    fields = frozenset({CAP})
    kind = Kind.COUNT
    power = MeanPower()

    def user_figures(self, sums: Floats, counts: Floats) -> Floats:  # noqa: ARG002 - of values nothing is asked
        return counts
