"""Tenancy over HTTP: who is calling, and the routes to manage organizations, members and credentials."""
