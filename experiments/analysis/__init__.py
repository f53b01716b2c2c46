"""Computes an experiment's results from its events: summaries, comparisons, sample ratio, recommendation."""

from experiments.analysis.report import ComputedResults, analyse, results_for
from experiments.analysis.stored import is_intact, results_of
from experiments.analysis.window import Window, window_of

__all__ = ["ComputedResults", "Window", "analyse", "is_intact", "results_for", "results_of", "window_of"]
