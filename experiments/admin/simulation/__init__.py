"""The simulation page and the slices that it runs in."""
