"""A small shop, whose code asks for flags in many ways."""
