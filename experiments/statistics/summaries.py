"""The inputs of the methods: small frozen summaries that add over disjoint users.

Means and squared deviations are carried instead of raw sums, and merged by Chan's formula, because the difference of
two huge sums of squares loses its digits: at mean / sd = 1e6 the naive variance errs by 4e-4.
Source: Chan, Golub and LeVeque 1983, Am. Stat. 37, 242-247.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from experiments.statistics.distributions import Floats, finite_floats, require_finite

# A sum as it comes; all but floats are exact.
Sum = float | Decimal | Fraction
# Whole floats below it are exact as well.
_EXACT_BELOW = 2.0**53
NO_USERS = "an arm has no users"
TOO_FEW_USERS = "an arm has fewer than two users"
NO_VARIANCE = "neither arm varies, so there is no error to compare the difference with"
ZERO_CONTROL = "the control mean is 0, so a relative lift does not exist"


@dataclass(frozen=True, slots=True)
class Proportion:
    """Users of one arm and how many of them converted."""

    conversions: float
    users: float

    def __post_init__(self) -> None:
        require_finite(self.conversions, self.users)
        if not 0 <= self.conversions <= self.users:
            raise ValueError(f"conversions must lie between 0 and {self.users} users, got {self.conversions}")

    def __add__(self, other: "Proportion") -> "Proportion":
        return Proportion(self.conversions + other.conversions, self.users + other.users)

    @property
    def rate(self) -> float | None:
        return self.conversions / self.users if self.users > 0 else None


@dataclass(frozen=True, slots=True)
class Moments:
    """Users of one arm, the mean of a per-user value and the sum of its squared deviations."""

    n: float
    mean: float
    m2: float

    def __post_init__(self) -> None:
        require_finite(self.n, self.mean, self.m2)

    @classmethod
    def from_sums(cls, n: float, total: Sum, squares: Sum) -> "Moments":
        """From n, the sum and the sum of squares.

        A float's sum of squares has lost the variance where mean / sd is 1e7: give whole numbers, Decimals or Fractions
        there, which stay exact, or shift the values by a constant first.
        """
        _require_finite(n, total, squares)
        if n <= 0:
            return cls(0, 0.0, 0.0)
        return cls(n, _mean(n, total), _deviations(n, squares, total))

    @classmethod
    def from_values(cls, values: "Sequence[float] | Floats") -> "Moments":
        array = finite_floats(values)
        if array.size == 0:
            return cls(0, 0.0, 0.0)
        shift = float(array[0])
        centred = array - shift
        mean = float(centred.mean())
        return cls(array.size, shift + mean, float(((centred - mean) ** 2).sum()))

    def __add__(self, other: "Moments") -> "Moments":
        if other.n == 0:
            return self
        if self.n == 0:
            return other
        n = self.n + other.n
        gap = other.mean - self.mean
        return Moments(n, self.mean + gap * other.n / n, self.m2 + other.m2 + gap * gap * self.n * other.n / n)

    @property
    def total(self) -> float:
        return self.n * self.mean

    @property
    def squares(self) -> float:
        return self.m2 + self.n * self.mean * self.mean

    @property
    def variance(self) -> float | None:
        return self.m2 / (self.n - 1) if self.n > 1 else None


@dataclass(frozen=True, slots=True)
class PairedMoments:
    """As `Moments`, for two values of the same user: y, and x (a ratio's denominator or a covariate)."""

    n: float
    mean_y: float
    mean_x: float
    m2_y: float
    m2_x: float
    c_xy: float

    def __post_init__(self) -> None:
        require_finite(self.n, self.mean_y, self.mean_x, self.m2_y, self.m2_x, self.c_xy)

    @classmethod
    def from_sums(cls, *, n: float, sum_y: Sum, sum_x: Sum, sum_yy: Sum, sum_xx: Sum, sum_xy: Sum) -> "PairedMoments":
        """As `Moments.from_sums`, with the sums of products."""
        _require_finite(n, sum_y, sum_x, sum_yy, sum_xx, sum_xy)
        if n <= 0:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return cls(
            n,
            _mean(n, sum_y),
            _mean(n, sum_x),
            _deviations(n, sum_yy, sum_y),
            _deviations(n, sum_xx, sum_x),
            _products(n, sum_xy, sum_y, sum_x),
        )

    @classmethod
    def from_values(cls, y: "Sequence[float] | Floats", x: "Sequence[float] | Floats") -> "PairedMoments":
        ys, xs = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
        if ys.shape != xs.shape:
            raise ValueError(f"y has {ys.size} users and x has {xs.size}: both sides need the same users")
        left, right = Moments.from_values(ys), Moments.from_values(xs)
        covariation = float(((ys - left.mean) * (xs - right.mean)).sum()) if ys.size else 0.0
        return cls(left.n, left.mean, right.mean, left.m2, right.m2, covariation)

    def __add__(self, other: "PairedMoments") -> "PairedMoments":
        if other.n == 0:
            return self
        if self.n == 0:
            return other
        n = self.n + other.n
        gap_y, gap_x = other.mean_y - self.mean_y, other.mean_x - self.mean_x
        weight = self.n * other.n / n
        return PairedMoments(
            n,
            self.mean_y + gap_y * other.n / n,
            self.mean_x + gap_x * other.n / n,
            self.m2_y + other.m2_y + gap_y * gap_y * weight,
            self.m2_x + other.m2_x + gap_x * gap_x * weight,
            self.c_xy + other.c_xy + gap_y * gap_x * weight,
        )

    def variance_of(self, times_y: float, times_x: float) -> float | None:
        """Variance of one user's times_y * y - times_x * x, ddof = 1: what CUPED and the delta method come down to.

        times_y^2 s_y^2 - 2 times_y times_x s_xy + times_x^2 s_x^2; None below two users.
        """
        if self.n < 2:
            return None
        deviations = times_y**2 * self.m2_y - 2 * times_y * times_x * self.c_xy + times_x**2 * self.m2_x
        return max(0.0, deviations) / (self.n - 1)

    @property
    def y(self) -> Moments:
        return Moments(self.n, self.mean_y, self.m2_y)

    @property
    def x(self) -> Moments:
        return Moments(self.n, self.mean_x, self.m2_x)


def _require_finite(*values: Sum) -> None:
    require_finite(*(float(value) for value in values))


def _mean(n: float, total: Sum) -> float:
    return total / n if isinstance(total, float) else float(Fraction(total) / Fraction(n))


def _is_exact(value: Sum) -> bool:
    return not isinstance(value, float) or (value.is_integer() and abs(value) < _EXACT_BELOW)


def _products(n: float, products: Sum, left: Sum, right: Sum) -> float:
    """sum of products - left * right / n, in fractions where floats would cancel."""
    if isinstance(products, float) and isinstance(left, float) and isinstance(right, float):
        rough = products - left * (right / n)
        if abs(rough) > 1e-6 * abs(products):
            return rough
    return float(Fraction(products) - Fraction(left) * Fraction(right) / Fraction(n))


def _deviations(n: float, squares: Sum, total: Sum) -> float:
    """`_products` of a value with itself; 0 where only the rounding of a float's sums is left."""
    deviations = max(0.0, _products(n, squares, total, total))
    if _is_exact(squares) and _is_exact(total):
        return deviations
    # Below this the sums' own rounding is larger: a constant arm would otherwise look precise beyond belief.
    return deviations if deviations > 8 * sys.float_info.epsilon * float(squares) else 0.0
