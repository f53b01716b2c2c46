"""The audit log streamed to a file for a SIEM, and to an HTTP collector."""
