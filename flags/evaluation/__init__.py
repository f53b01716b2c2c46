"""Answers over HTTP, and what a change would do before it is saved."""
