"""Which flags are asked for, by whom and how often, with and without a unit. It stands in PostgreSQL, whatever the
store of events."""
