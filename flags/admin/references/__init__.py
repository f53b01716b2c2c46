"""Where code refers to a flag, in the console."""
