"""Test services: an SDK behind a few HTTP routes, one small program for each SDK. README.md has the protocol."""
