"""One behaviour in every language: mocked servers, small test services, and the cases that both are put through.

README.md has the protocol. `python -m sdk.conformance` runs it all and writes the table of results into the docs.
"""
