"""The analysis queries at size."""
