"""What an edge is told at its start: its settings, the keys of its environments, and the variables they come from."""
