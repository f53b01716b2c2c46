"""The append-only, hash-chained log of every change. It knows no other app: whoever writes names the things."""
