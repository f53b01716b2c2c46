"""The last good snapshot: where it is stored, in which form, and where a published one is read."""
