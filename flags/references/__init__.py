"""Where code refers to flags: reports of scans, the links to the places, and counts."""
