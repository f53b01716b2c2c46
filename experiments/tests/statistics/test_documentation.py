"""The chapter for analysts names every public method, and every method says where it comes from."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import experiments.statistics

PACKAGE = Path(experiments.statistics.__file__).parent
CHAPTER = (PACKAGE.parents[1] / "docs" / "statistics.md").read_text()
# Distribution functions and summaries are what methods are made of, not methods.
MATERIAL = {"__init__", "distributions", "summaries"}
# Steps of a documented method, public because another module or the benchmark shares them.
STEPS = {
    "cuped.adjusted_variance",
    "cuped.pooled_theta",
    "estimates.lift_of_difference",
    "means.mean_estimate",
    "proportions.unpooled_se",
    "quantiles.has_enough_values",
    "quantiles.order_ranks",
    "quantiles.quantile_estimate",
    "quantiles.share_above",
    "ratios.linearised_variance",
    "ratios.ratio_estimate",
    "ratios.ratio_of",
    "srm.day_budget",
    "srm.log_bayes_factors",
}


def _methods() -> Iterator[tuple[str, Callable[..., object]]]:
    for path in sorted(PACKAGE.glob("*.py")):
        if path.stem in MATERIAL:
            continue
        module = importlib.import_module(f"experiments.statistics.{path.stem}")
        for name, value in vars(module).items():
            unwrapped = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(unwrapped) and unwrapped.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{path.stem}.{name}", unwrapped


METHODS = dict(_methods())


@pytest.mark.parametrize("name", sorted(set(METHODS) - STEPS))
def test_chapter__public_method__is_explained(name: str) -> None:
    assert f"`{name}`" in CHAPTER


@pytest.mark.parametrize("name", sorted(METHODS))
def test_method__docstring__is_there(name: str) -> None:
    assert (METHODS[name].__doc__ or "").strip(), f"{name} needs its formula and unit"


def test_steps__listed_exceptions__still_exist() -> None:
    assert set(METHODS) >= STEPS
