"""Flags and how they are configured, served, propagated and killed."""
