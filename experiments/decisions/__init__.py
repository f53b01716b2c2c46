"""From figures to a decision: pure functions, no database, no clock."""
