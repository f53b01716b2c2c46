"""The few distribution functions the methods need, as typed floats.

They call scipy.special directly: scipy.stats' frozen distributions cost a hundred times as much per call, and the
simulations make millions. Tails come from survival functions, never from one minus a distribution function.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy  # It loads a part when that is first used: processes that compute nothing start sooner.

Floats = npt.NDArray[np.float64]


def normal_cdf(z: float) -> float:
    return float(scipy.special.ndtr(z))


def normal_sf(z: float) -> float:
    return float(scipy.special.ndtr(-z))


def normal_pdf(z: float) -> float:
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def normal_quantile(probability: float) -> float:
    return float(scipy.special.ndtri(probability))


def normal_critical(alpha: float, sides: int = 2) -> float:
    """z with `alpha` beyond it, shared between both tails when `sides` is 2."""
    return -float(scipy.special.ndtri(alpha / sides))


def normal_two_sided(z: float) -> float:
    return 2 * float(scipy.special.ndtr(-abs(z)))


def t_sf(t: float, df: float) -> float:
    return float(scipy.special.stdtr(df, -t))


def t_two_sided(t: float, df: float) -> float:
    return 2 * float(scipy.special.stdtr(df, -abs(t)))


def t_critical(alpha: float, df: float, sides: int = 2) -> float:
    return -float(scipy.special.stdtrit(df, alpha / sides))


def chi2_sf(statistic: float, df: int) -> float:
    return float(scipy.special.chdtrc(df, statistic))


def require_alpha(alpha: float) -> None:
    """Refuse an error rate outside (0, 1): a programming error, so it raises."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")


def require_finite(*values: float) -> None:
    """Refuse NaN and infinity, which would come out as a figure like any other or, worse, as a variance of 0."""
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"finite numbers are needed, got {', '.join(map(str, values))}")


def finite_floats(values: "Sequence[float] | Sequence[Sequence[float]] | Floats") -> Floats:
    """As an array. Raises ValueError for one that holds NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("values must be finite numbers")
    return array
