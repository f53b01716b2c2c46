"""Template tags of the console's kit."""
