"""What is measured, and how to measure it again; reports go to RESULTS.md."""
