"""Fixtures and harnesses for tests and benchmarks; the product imports none of them."""
