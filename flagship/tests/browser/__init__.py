"""The console as a person meets it: a real Chromium against a live server."""
