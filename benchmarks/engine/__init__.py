"""The engine's speed and size, beside its rivals' and the bare hash."""
