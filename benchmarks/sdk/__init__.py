"""The Python SDK in a service's process."""
