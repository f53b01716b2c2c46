"""Erasing and exporting a person: who is meant, the places that have an id, and the jobs that go through them."""
