"""gRPC on an edge under load."""
