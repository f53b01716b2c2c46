"""Past days of flags made ready, so that a window of them is answered without its exposures."""

from datetime import timedelta

from django.utils import timezone

from analytics.stores import store


def fold_flag_days(*, days: int) -> int:
    """Fold the last `days` UTC days that are over where they are not folded or no longer hold; return how many were.

    Days further back are folded each night, before retention. Answers are the same with and without.
    """
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return store().fold_flag_days(today - timedelta(days=days))
