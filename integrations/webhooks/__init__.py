"""Delivering events to webhooks: what is sent, how it is signed, to whom, and when."""
