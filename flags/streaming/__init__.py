"""The stream: server-sent events and WebSockets from one hub, catch-up, acknowledgements, the kill status."""
