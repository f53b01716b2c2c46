"""gRPC on an edge: its addresses, and what serves there."""
