"""The API of webhooks and notifications."""
