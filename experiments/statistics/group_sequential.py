"""Group sequential designs: a planned number of users, several looks, and one alpha spent over them.

The calendar may set the looks, results may not. Boundaries depend on information fractions alone. They are cached look
by look, so each further look costs one more step. Estimates of tests that stopped early are biased upward.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from experiments.statistics.distributions import Floats, normal_critical, normal_sf, require_alpha, require_finite
from experiments.statistics.spending import spent_alpha

# Beyond this many standard deviations a path carries no mass worth integrating (1e-32).
REACH = 12.0
# Below this a look's alpha is spent as if no earlier look could have stopped the path: which is slightly conservative.
SMALLEST_SOLVED = 1e-25
# A look this close to the one before (a millionth of the plan) is no look: skipping one only waits.
SMALLEST_STEP = 1e-6
TARGETS_AT_ONCE = 384
NEWTON_STEPS = 200
# Twelve nodes over three standard deviations of a step integrate a normal density to ten digits.
PANEL_WIDTH = 3.0
PANEL_NODES, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Per look: |Z| needed, alpha spent so far, and the p-value |Z| stands for; None where a look cannot stop."""

    z: tuple[float | None, ...]
    cum_alpha: tuple[float, ...]
    nominal_p: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ClassicalBoundaries:
    constant: float
    z: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RepeatedInterval:
    """An interval that covers at every look together, and whether this look may claim an effect."""

    ci_low: float | None
    ci_high: float | None
    is_significant: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Paths:
    """Mass of the paths still running after the previous look, on a grid, and where this look is."""

    nodes: Floats
    mass: Floats
    previous: float
    time: float


_START = _Paths(np.zeros(1), np.ones(1), 0.0, 0.0)


def _advance(paths: _Paths, bound: float, time: float, sides: int, drift: float = 0.0) -> _Paths:
    """Paths that stay within `bound` (in Z units, at `paths.time`) on a grid fine enough for the step to `time`."""
    now = paths.time
    step = math.sqrt(now - paths.previous)
    scale = min(step, math.sqrt(time - now))
    far = REACH * math.sqrt(now)
    high = min(bound * math.sqrt(now), drift * now + far)
    low = max(-bound * math.sqrt(now), drift * now - far) if sides == 2 else drift * now - far
    panels = max(1, math.ceil((high - low) / (PANEL_WIDTH * scale)))
    edges = np.linspace(low, high, panels + 1)
    half = (high - low) / panels / 2
    nodes = ((edges[:-1] + half)[:, None] + half * PANEL_NODES).ravel()
    density = np.concatenate(
        [
            _density(paths, nodes[first : first + TARGETS_AT_ONCE] - drift * step * step, step)
            for first in range(0, nodes.size, TARGETS_AT_ONCE)
        ]
    )
    return _Paths(nodes, density * np.tile(half * PANEL_WEIGHTS, panels), now, time)


def _density(paths: _Paths, targets: Floats, step: float) -> Floats:
    """Density at rising targets of paths that moved by a normal step, from the nodes within its reach."""
    first, last = np.searchsorted(paths.nodes, [targets[0] - REACH * step, targets[-1] + REACH * step])
    gaps = (targets[:, None] - paths.nodes[first:last]) / step
    density: Floats = np.exp(-0.5 * gaps * gaps) @ paths.mass[first:last] / (step * math.sqrt(2 * math.pi))
    return density


def _upper_tail(paths: _Paths, bound: float, drift: float = 0.0) -> float:
    """Probability of running until this look and then exceeding +bound (in Z units)."""
    variance = paths.time - paths.previous
    gaps = (paths.nodes + drift * variance - bound * math.sqrt(paths.time)) / math.sqrt(variance)
    return float(scipy.special.ndtr(gaps) @ paths.mass)


def _lower_tail(paths: _Paths, bound: float, drift: float = 0.0) -> float:
    variance = paths.time - paths.previous
    gaps = (-bound * math.sqrt(paths.time) - paths.nodes - drift * variance) / math.sqrt(variance)
    return float(scipy.special.ndtr(gaps) @ paths.mass)


def _solve(paths: _Paths, target: float) -> float:
    """The bound whose upper tail has probability `target`.

    Newton on the logarithm of the tail, which is concave in the bound, so that from the right every step stays right of
    the root. The start is right of it: earlier looks only take paths away.
    """
    if target < SMALLEST_SOLVED:
        return normal_critical(target, sides=1) if target > 0 else math.inf
    bound = normal_critical(target, sides=1)
    scale = math.sqrt(paths.time / (paths.time - paths.previous))
    offsets = paths.nodes / math.sqrt(paths.time - paths.previous)
    for _ in range(NEWTON_STEPS):
        gaps = offsets - bound * scale
        tail = float(scipy.special.ndtr(gaps) @ paths.mass)
        if tail <= SMALLEST_SOLVED**2:
            bound -= 0.5
            continue
        slope = float(np.exp(-0.5 * gaps * gaps) @ paths.mass) * scale / math.sqrt(2 * math.pi)
        step = tail / slope * math.log(tail / target)
        bound += step
        if abs(step) < 1e-11:
            return bound
    raise ValueError("more alpha is to be spent at a look than paths are left to spend it on")


@lru_cache(maxsize=1024)
def _spending_look(
    fractions: tuple[float, ...], tail_alpha: float, sides: int, spending: str, param: float
) -> tuple[_Paths, float]:
    """The last look's bound, and the paths that reach it; earlier looks come from the cache."""
    time = fractions[-1]
    if len(fractions) == 1:
        paths = _Paths(_START.nodes, _START.mass, 0.0, time)
        return paths, _solve(paths, spent_alpha(time, tail_alpha, spending, param))
    before, bound = _spending_look(fractions[:-1], tail_alpha, sides, spending, param)
    paths = _advance(before, bound, time, sides)
    spent = [spent_alpha(fraction, tail_alpha, spending, param) for fraction in fractions[-2:]]
    return paths, _solve(paths, spent[1] - spent[0])


def boundaries(
    info_fractions: Sequence[float],
    alpha: float = 0.05,
    sides: int = 2,
    spending: str = "obf",
    param: float = 1.0,
) -> Boundaries:
    """Lan-DeMets boundaries at any looks: information fractions rising strictly, 1 being the planned end.

    A two-sided design spends alpha / 2 a side by the same function; no futility. Boundaries solve
    P(no earlier crossing, Z_k > z_k) = alpha*(t_k) - alpha*(t_{k-1}) by recursive numerical integration over Brownian
    motion. The first look at or past 1 spends what is left; looks after it, and looks less
    than a millionth of the plan after another, cannot stop (None).
    Source: Lan and DeMets 1983; Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, ch. 19.
    """
    fractions = _checked(info_fractions, alpha, sides)
    tail_alpha = alpha / sides
    z: list[float | None] = []
    looks: tuple[float, ...] = ()
    for fraction in fractions:
        if looks and (looks[-1] >= 1 or fraction - looks[-1] < SMALLEST_STEP):
            z.append(None)
            continue
        looks += (fraction,)
        _, bound = _spending_look(looks, tail_alpha, sides, spending, param)
        z.append(bound if math.isfinite(bound) else None)
    cumulative = tuple(sides * spent_alpha(fraction, tail_alpha, spending, param) for fraction in fractions)
    nominal = tuple(None if bound is None else sides * normal_sf(bound) for bound in z)
    return Boundaries(tuple(z), cumulative, nominal)


def _checked(info_fractions: Sequence[float], alpha: float, sides: int) -> tuple[float, ...]:
    require_alpha(alpha)
    fractions = tuple(float(fraction) for fraction in info_fractions)
    rising = all(before < after for before, after in itertools.pairwise(fractions))
    if not fractions or fractions[0] <= 0 or not rising:
        raise ValueError(f"information fractions must be above 0 and rise strictly, got {list(fractions)}")
    if sides not in {1, 2}:
        raise ValueError(f"sides must be 1 or 2, got {sides}")
    return fractions


def crossing_probabilities(
    z_bounds: Sequence[float | None], info_fractions: Sequence[float], drift: float = 0.0, sides: int = 2
) -> tuple[float, ...]:
    """Probability of having crossed by each look, both tails counted when `sides` is 2; None cannot be crossed.

    drift: the expected Z at information 1, i.e. effect / standard error of the planned end; 0 gives false positives.
    Source: Jennison and Turnbull 2000, Group Sequential Methods, ch. 19.
    """
    require_finite(drift)
    fractions = _checked(info_fractions, 0.05, sides)
    if len(z_bounds) != len(fractions):
        raise ValueError(f"{len(z_bounds)} bounds for {len(fractions)} looks")
    if any(after - before < SMALLEST_STEP for before, after in itertools.pairwise(fractions)):
        raise ValueError("looks must lie at least a millionth of the plan apart")
    crossed = 0.0
    cumulative: list[float] = []
    bounds = [math.inf if bound is None else bound for bound in z_bounds]
    paths = _Paths(_START.nodes, _START.mass, 0.0, fractions[0])
    for look, bound in enumerate(bounds):
        if look:
            paths = _advance(paths, bounds[look - 1], fractions[look], sides, drift)
        crossed += _upper_tail(paths, bound, drift)
        if sides == 2:
            crossed += _lower_tail(paths, bound, drift)
        cumulative.append(crossed)
    return tuple(cumulative)


def _classical(constant: float, looks: int, kind: str) -> tuple[float, ...]:
    if kind == "pocock":
        return (constant,) * looks
    if kind == "obf":
        return tuple(constant * math.sqrt(looks / look) for look in range(1, looks + 1))
    raise ValueError(f"unknown classical design {kind!r}: pocock or obf")


def _even(looks: int) -> tuple[float, ...]:
    if looks < 1:
        raise ValueError(f"a design needs at least one look, got {looks}")
    return tuple(look / looks for look in range(1, looks + 1))


@lru_cache(maxsize=512)
def classical_boundaries(looks: int, alpha: float = 0.05, kind: str = "pocock") -> ClassicalBoundaries:
    """Equally spaced two-sided designs: pocock z_k = C, obf z_k = C sqrt(K / k).

    Source: Pocock 1977, Biometrika 64, 191-199; O'Brien and Fleming 1979, Biometrics 35, 549-556.
    """
    require_alpha(alpha)
    fractions = _even(looks)
    bounds = _classical(1.0, looks, kind)

    def excess(constant: float) -> float:
        return crossing_probabilities([constant * bound for bound in bounds], fractions)[-1] - alpha

    constant = float(
        scipy.optimize.brentq(excess, normal_critical(alpha) - 1e-9, normal_critical(alpha / looks) + 1e-9)
    )
    return ClassicalBoundaries(constant, _classical(constant, looks, kind))


def inflation_of(
    z_bounds: Sequence[float | None], info_fractions: Sequence[float], alpha: float, power: float
) -> float:
    """Maximum users of a two-sided design against a test with one look, at the same alpha and power.

    (drift at which the design crosses with probability `power`)^2 / (z_{alpha/2} + z_{1-power})^2.
    """
    require_alpha(alpha)
    if not alpha < power < 1:
        raise ValueError(f"power must lie between alpha and 1, got {power}")
    fixed = normal_critical(alpha) + normal_critical(1 - power, sides=1)
    drift = scipy.optimize.brentq(
        lambda drift: crossing_probabilities(z_bounds, info_fractions, drift)[-1] - power, 0.0, 4 * fixed + 4
    )
    return float((drift / fixed) ** 2)


@lru_cache(maxsize=512)
def inflation_factor(looks: int, alpha: float = 0.05, power: float = 0.8, kind: str = "pocock") -> float:
    """`inflation_of` at equally spaced looks: pocock, obf (classical), pocock_spending, obf_spending (Lan-DeMets)."""
    fractions = _even(looks)
    if kind.endswith("_spending"):
        spending = boundaries(fractions, alpha, spending=kind.removesuffix("_spending"))
        return inflation_of(spending.z, fractions, alpha, power)
    return inflation_of(classical_boundaries(looks, alpha, kind).z, fractions, alpha, power)


def repeated_interval(estimate: float | None, se: float | None, z_bound: float | None) -> RepeatedInterval:
    """estimate -/+ z_k SE, in the estimate's unit, z_k this look's boundary; significant when it excludes 0.

    Source: Jennison and Turnbull 1989, JRSS B 51, 305-361.
    """
    if z_bound is None:
        return RepeatedInterval(None, None, is_significant=False, reason="this look has no alpha to spend")
    if estimate is None or se is None or se <= 0:
        return RepeatedInterval(None, None, is_significant=False, reason="the estimate has no error to bound it with")
    low, high = estimate - z_bound * se, estimate + z_bound * se
    return RepeatedInterval(low, high, is_significant=low > 0 or high < 0)
