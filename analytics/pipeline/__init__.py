"""The event pipeline: buffer, broker, ingest, storage, dead letters."""
