"""Management commands of flags."""
