"""What webhooks promise, on a whole platform: nothing lost, in order, and what it costs a write."""
