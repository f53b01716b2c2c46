"""The results page, its charts, and the same figures as CSV."""
