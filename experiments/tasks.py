"""Celery tasks: scheduled dispatchers, and one task per experiment, so that one failure stops no other experiment.

A killed task runs again (late acknowledgement). Running twice has the same effect as running once.
"""

from celery import shared_task

from experiments.analysis import kept_splits
from experiments.jobs import runs
from tenancy.models import Environment


@shared_task(name="experiments.nightly")
def nightly() -> None:
    for experiment_id in runs.nightly_ids():
        store_nightly_results.delay(experiment_id)
    for experiment_id in runs.broken_down_ids():
        store_breakdowns.delay(experiment_id)
    for experiment_id in runs.rested_ids():
        free_layer.delay(experiment_id)


@shared_task(name="experiments.store_nightly_results")
def store_nightly_results(experiment_id: str) -> str:
    return runs.store_nightly(experiment_id)


@shared_task(name="experiments.store_breakdowns")
def store_breakdowns(experiment_id: str) -> str:
    return runs.store_breakdowns(experiment_id)


@shared_task(name="experiments.free_layer")
def free_layer(experiment_id: str) -> str:
    return runs.free_layer(experiment_id)


@shared_task(name="experiments.watch")
def watch() -> None:
    for experiment_id in runs.watched_ids():
        watch_experiment.delay(experiment_id)


@shared_task(name="experiments.watch_experiment")
def watch_experiment(experiment_id: str) -> str:
    return runs.watch(experiment_id)


@shared_task(name="experiments.watch_splits")
def watch_splits() -> None:
    for environment_id in Environment.objects.values_list("pk", flat=True):
        watch_splits_of.delay(environment_id)


@shared_task(name="experiments.watch_splits_of")
def watch_splits_of(environment_id: int) -> int:
    environment = Environment.objects.filter(pk=environment_id).first()
    return len(kept_splits.watch_splits(environment)) if environment is not None else 0


@shared_task(name="experiments.schedule")
def schedule() -> None:
    for experiment_id in runs.due_ids():
        keep_schedule.delay(experiment_id)


@shared_task(name="experiments.keep_schedule")
def keep_schedule(experiment_id: str) -> str:
    return runs.keep_schedule(experiment_id)
