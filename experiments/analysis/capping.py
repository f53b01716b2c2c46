"""Caps on what one user counts: the metric's own cap, and the experiment's share of extreme users."""

from collections.abc import Mapping, Sequence

import numpy as np

from analytics.selectors import Distributed
from experiments.models import Metric
from experiments.statistics.distributions import Floats
from experiments.statistics.winsorising import winsorise

Figures = Mapping[str, Floats]


def capped(winsorize_percent: float | None, metric: Metric, figures: Figures) -> tuple[Figures, tuple[str, ...]]:
    """Cap each user's figure, by variant, and return notes; the same cap holds in every arm.

    The metric's own cap comes first, then the cap that the experiment's share of users sets.
    """
    found, notes = figures, []
    if metric.cap is not None:
        notes.append(note_of_cap(metric.cap, _share_outside(found, -np.inf, metric.cap)))
        found = {key: np.minimum(values, metric.cap) for key, values in found.items()}
    if winsorize_percent is not None:
        found, note = winsorised(winsorize_percent, found)
        notes.append(note)
    return found, tuple(notes)


def winsorised(percent: float, figures: Figures) -> tuple[Figures, str]:
    """Cap that share of the users with a figure other than 0, and return a note.

    Where figures lie below 0, as refunds do, the same share is raised at the lower end.
    """
    tail = percent / 100
    is_two_sided = any(bool((values < 0).any()) for values in figures.values())
    caps = winsorise(list(figures.values()), upper_q=1 - tail, lower_q=tail if is_two_sided else None)
    if caps.cap_high is None:
        return figures, caps.reason or "nothing is capped"
    low = -np.inf if caps.cap_low is None else caps.cap_low
    share = f"{_share_outside(figures, low, caps.cap_high):.2%} of the users were capped"
    bounds = f"{caps.cap_high:g}" if caps.cap_low is None else f"{caps.cap_low:g} and {caps.cap_high:g}"
    return {
        key: np.clip(values, low, caps.cap_high) for key, values in figures.items()
    }, f"winsorised at {bounds}; {share}"


def figures_of_each_user(found: Mapping[str, Distributed], variants: Sequence[str], name: str) -> dict[str, Floats]:
    """Each user's figure of that name, by variant; those without events first."""
    return {key: _of_each_user(found.get(key), name) for key in variants}


def _of_each_user(found: Distributed | None, name: str) -> Floats:
    if found is None:
        return np.zeros(0)
    counts = found.rows["units"]
    return np.concatenate([np.zeros(found.units - int(counts.sum())), np.repeat(found.rows[name], counts)])


def note_of_cap(cap: float, share: float) -> str:
    return f"users count at most {cap:g}; {share:.2%} were capped"


def _share_outside(figures: Figures, low: float, high: float) -> float:
    users = sum(values.size for values in figures.values())
    outside = sum(int(np.count_nonzero((values < low) | (values > high))) for values in figures.values())
    return outside / users if users else 0.0
