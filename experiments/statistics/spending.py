"""Spending functions: the part of alpha that a design has spent by an information fraction.

Source: Lan and DeMets 1983, Biometrika 70, 659-663; Kim and DeMets 1987, Biometrika 74, 149-154, for the power family.
"""

import math
from collections.abc import Callable, Mapping

from experiments.statistics.distributions import normal_critical, normal_sf

# (information fraction below 1, alpha of one tail, parameter) to the error spent in that tail.
SpendingFunction = Callable[[float, float, float], float]


def _obrien_fleming(fraction: float, alpha: float, _param: float) -> float:
    return 2 * normal_sf(normal_critical(alpha) / math.sqrt(fraction))


def _pocock(fraction: float, alpha: float, _param: float) -> float:
    return alpha * math.log1p((math.e - 1) * fraction)


def _power(fraction: float, alpha: float, param: float) -> float:
    return float(alpha * fraction**param)


SPENDING: Mapping[str, SpendingFunction] = {"obf": _obrien_fleming, "pocock": _pocock, "power": _power}


def spent_alpha(fraction: float, alpha: float, spending: str = "obf", param: float = 1.0) -> float:
    """Error spent in one tail by an information fraction t, all of it from t = 1 on.

    obf: 2 (1 - Phi(z_{alpha/2} / sqrt t)); pocock: alpha ln(1 + (e - 1) t); power: alpha t^param.
    Source: Lan and DeMets 1983, Biometrika 70, 659-663; Kim and DeMets 1987 for the power family.
    """
    if spending not in SPENDING:
        raise ValueError(f"unknown spending {spending!r}: {', '.join(SPENDING)}")
    return alpha if fraction >= 1 else SPENDING[spending](fraction, alpha, param)
