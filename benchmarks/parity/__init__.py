"""Every surface's answers beside the engine's."""
