"""The console's pages for experiments and metrics."""

from experiments.admin import flag_panel
from experiments.admin.audit_names import register
from experiments.admin.experiments import ExperimentAdmin
from experiments.admin.metrics import MetricAdmin

register()

__all__ = ["ExperimentAdmin", "MetricAdmin", "flag_panel"]
