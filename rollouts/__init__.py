"""Rollout plans that raise a share step by step, changes at an instant, and triggers that alerts call."""
