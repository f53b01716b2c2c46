"""The console's pages for experiments and metrics."""

from experiments.admin import flag_panel
from experiments.admin.experiments import ExperimentAdmin
from experiments.admin.metrics import MetricAdmin

__all__ = ["ExperimentAdmin", "MetricAdmin", "flag_panel"]
