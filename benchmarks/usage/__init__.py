"""What counting usage costs an evaluation."""
