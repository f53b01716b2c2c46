"""The console's pages for experiments and metrics."""

from experiments.admin.experiments import ExperimentAdmin

__all__ = ["ExperimentAdmin"]
