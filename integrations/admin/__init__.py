"""The console's pages for webhooks and their deliveries. Importing this package registers them."""

from integrations.admin import deliveries, webhooks

__all__ = ["deliveries", "webhooks"]
