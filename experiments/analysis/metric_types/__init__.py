"""Metric types, one class a file; `registry.py` lists them."""

from experiments.analysis.metric_types.base import MetricType
from experiments.analysis.metric_types.registry import CHOICES, METRIC_TYPES, POWER_MODELS, metric_type, per_user_type

__all__ = ["CHOICES", "METRIC_TYPES", "POWER_MODELS", "MetricType", "metric_type", "per_user_type"]
