"""Aggregates past hours and days of flags, so that a window of them is answered without its exposures."""

from datetime import timedelta

from django.utils import timezone

from analytics.stores import store


def aggregate_flags(*, days: int) -> int:
    """Aggregate the last `days` UTC days that are over and have no valid roll-up; return how many those were.

    Days further back are aggregated each night, before retention. Answers are the same with and without.
    """
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return store().aggregate_flags(today - timedelta(days=days))
