"""Sums over events, stored so that results need not read every event again."""
