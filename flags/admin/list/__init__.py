"""The list of flags in the console: its filters, and what is done to several flags at once."""
