"""The way of an event: buffer, broker, ingest, storage, dead letters."""
