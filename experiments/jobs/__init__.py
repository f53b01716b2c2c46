"""Scheduled work on experiments, and when it ran."""
