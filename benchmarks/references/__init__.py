"""Scanning code for flags: time, and what `git grep` finds."""
