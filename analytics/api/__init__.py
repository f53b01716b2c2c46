"""The events' routes."""
