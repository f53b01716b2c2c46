"""Plans, templates, scheduled changes and triggers over HTTP."""
