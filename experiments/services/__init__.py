"""Every write to metrics, experiments and results: validate, write, update the flag, audit, in one transaction."""

from experiments.services.completion import act_impact, complete_experiment
from experiments.services.experiments import (
    create_experiment,
    delete_experiment,
    find_or_create_experiment,
    update_experiment,
)
from experiments.services.lifecycle import (
    free_layer_range,
    pause_experiment,
    restart_experiment,
    resume_experiment,
    start_experiment,
)
from experiments.services.metrics import create_metric, delete_metric, update_metric
from experiments.services.results import read_results, recompute, store_results

__all__ = [
    "act_impact",
    "complete_experiment",
    "create_experiment",
    "create_metric",
    "delete_experiment",
    "delete_metric",
    "find_or_create_experiment",
    "free_layer_range",
    "pause_experiment",
    "read_results",
    "recompute",
    "restart_experiment",
    "resume_experiment",
    "start_experiment",
    "store_results",
    "update_experiment",
    "update_metric",
]
