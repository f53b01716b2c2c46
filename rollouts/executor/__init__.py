"""What a worker does by itself: it takes what is due, asks the planner, and writes once."""
