"""What follows the audit log and tells others: webhooks, notifications, export."""
