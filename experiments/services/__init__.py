"""Every write to metrics, experiments and results: validate, write, update the flag, audit, in one transaction."""

from experiments.services.experiments import create_experiment, delete_experiment, update_experiment
from experiments.services.lifecycle import (
    complete_experiment,
    free_layer_range,
    pause_experiment,
    restart_experiment,
    resume_experiment,
    start_experiment,
)
from experiments.services.metrics import create_metric, delete_metric, update_metric
from experiments.services.results import recompute, store_results

__all__ = [
    "complete_experiment",
    "create_experiment",
    "create_metric",
    "delete_experiment",
    "delete_metric",
    "free_layer_range",
    "pause_experiment",
    "recompute",
    "restart_experiment",
    "resume_experiment",
    "start_experiment",
    "store_results",
    "update_experiment",
    "update_metric",
]
