"""Layers in the console."""
