"""How a client comes to its configuration, keeps up with it, and tells listeners."""
