"""How fast a change arrives, and what open streams cost."""
