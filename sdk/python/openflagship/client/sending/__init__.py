"""What a client tells the platform: events and summaries of use, and where they go."""
