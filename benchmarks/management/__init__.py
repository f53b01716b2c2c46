"""The management API and the audit chain."""
