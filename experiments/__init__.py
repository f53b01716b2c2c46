"""Experiments: their lifecycle, their metrics and the results they lead to."""
