"""The append-only, hash-chained log of every change. It knows no other app; the caller names the things."""
