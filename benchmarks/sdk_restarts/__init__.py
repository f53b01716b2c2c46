"""A service that goes on while its FlagShip server is killed and started again."""
