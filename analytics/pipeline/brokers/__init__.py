"""The event stream behind five verbs; one module for each server."""
