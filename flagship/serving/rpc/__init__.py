"""gRPC: flagd's evaluation service and FlagShip's own, from the memory that answers HTTP."""
