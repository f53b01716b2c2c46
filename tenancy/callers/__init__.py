"""Who makes a request: the principal, its network address, the request's id, and its rate limits."""
