"""The console's pages for webhooks, and for what a person is told of. Importing this package registers them."""

from integrations.admin import deliveries, inbox, webhooks

__all__ = ["deliveries", "inbox", "webhooks"]
