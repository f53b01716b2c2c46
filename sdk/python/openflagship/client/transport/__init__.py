"""How bytes travel: HTTP and event streams as logic, and the drivers that carry the logic out."""
