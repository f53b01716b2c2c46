"""Every metric type there is. A further one is a file beside this one, and a line in `_TYPES`."""

from experiments.analysis.metric_types.base import MetricType
from experiments.analysis.metric_types.binary import Binary
from experiments.analysis.metric_types.continuous import Continuous
from experiments.analysis.metric_types.count import Count
from experiments.analysis.metric_types.per_user import PerUserType
from experiments.analysis.metric_types.power import PowerModel
from experiments.analysis.metric_types.quantile import Quantile
from experiments.analysis.metric_types.ratio import Ratio
from experiments.models import Metric

_TYPES: tuple[type[MetricType], ...] = (Binary, Count, Continuous, Ratio, Quantile)

METRIC_TYPES: dict[str, type[MetricType]] = {each.key: each for each in _TYPES}
CHOICES: list[tuple[str, str]] = [(each.key, each.label) for each in _TYPES]
# What sample sizes can be asked for, by the name that `POST experiments/power` calls it.
POWER_MODELS: dict[str, PowerModel] = {each.power.key: each.power for each in _TYPES if each.power is not None}


def metric_type(metric: Metric) -> MetricType:
    """The metric's type, bound to the metric. Raises KeyError for a type that is not in the registry."""
    return METRIC_TYPES[metric.type](metric)


def per_user_type(metric: Metric) -> PerUserType | None:
    """The metric's type where its figure is a mean over users; None where it is not."""
    kind = metric_type(metric)
    return kind if isinstance(kind, PerUserType) else None
