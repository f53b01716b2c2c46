"""Change requests, reviews, policies and freezes: who has to agree before a change is served."""
