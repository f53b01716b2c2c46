"""Change requests, policies and freezes over HTTP."""
