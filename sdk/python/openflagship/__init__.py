"""FlagShip for Python: the evaluation engine, and the SDK around it."""
