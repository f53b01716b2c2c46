"""Takes events in (exposures and conversions), counts each once, and aggregates them for experiments."""
