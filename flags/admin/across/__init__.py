"""A flag in more than one environment: compared, and copied."""
