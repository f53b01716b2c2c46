"""Events from HTTP to rows."""
