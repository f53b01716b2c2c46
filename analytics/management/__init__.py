"""Commands of the events' way in and out."""
