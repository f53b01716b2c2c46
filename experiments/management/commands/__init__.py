"""Management commands of the experiments."""
