"""Celery tasks: make partitions ahead of time, apply retention, find bots by their rate, fold usage."""

from celery import shared_task

from analytics import services
from analytics.stores.postgres import partitions
from analytics.usage import retention
from audit.actors import system


@shared_task(name="analytics.make_partitions")
def make_partitions() -> list[str]:
    return partitions.create_ahead()


@shared_task(name="analytics.apply_retention")
def apply_retention() -> list[str]:
    return [str(step) for step in services.apply_retention(actor=system("retention"))]


@shared_task(name="analytics.find_fast_bots")
def find_fast_bots() -> int:
    return len(services.find_fast_bots())


@shared_task(name="analytics.aggregate_flags")
def aggregate_flags() -> int:
    return services.aggregate_flags(days=3)


@shared_task(name="analytics.fold_usage")
def fold_usage() -> None:
    retention.apply_retention()
