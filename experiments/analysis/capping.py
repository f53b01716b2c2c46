"""Caps on what one user counts: the metric's own cap, and the experiment's share of extreme users."""

from collections.abc import Mapping

import numpy as np

from experiments.models import Metric
from experiments.statistics.distributions import Floats
from experiments.statistics.winsorising import winsorise


def capped(
    winsorize_percent: float | None, metric: Metric, figures: Mapping[str, Floats]
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Cap each user's figure, by variant, and return notes; the same cap holds in every arm.

    The metric's own cap comes first, then the cap that the experiment's share of users sets.
    """
    found, notes = dict(figures), []
    if metric.cap is not None:
        notes.append(note_of_cap(metric.cap, _share_above(found, metric.cap)))
        found = {key: np.minimum(values, metric.cap) for key, values in found.items()}
    if winsorize_percent is not None:
        winsorised = winsorise(list(found.values()), upper_q=1 - winsorize_percent / 100)
        cap = winsorised.cap_high
        if cap is None:
            notes.append(winsorised.reason or "nothing is capped")
        else:
            notes.append(f"winsorised at {cap:g}; {_share_above(found, cap):.2%} of the users were capped")
            found = {key: np.minimum(values, cap) for key, values in found.items()}
    return found, tuple(notes)


def note_of_cap(cap: float, share: float) -> str:
    return f"users count at most {cap:g}; {share:.2%} were capped"


def _share_above(figures: Mapping[str, Floats], cap: float) -> float:
    users = sum(values.size for values in figures.values())
    return sum(int(np.count_nonzero(values > cap)) for values in figures.values()) / users if users else 0.0
