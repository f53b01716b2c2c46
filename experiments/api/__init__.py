"""The HTTP surface of experiments and metrics."""
