"""The stream: server-sent events and WebSockets from one hub, with catch-up and acknowledgements."""
