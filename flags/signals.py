"""What flags announces upward; the experiments app connects to it in `ready()`."""

from django.dispatch import Signal

# kwargs: config (FlagConfig), actor, variant. Sent inside the transaction that kills the flag.
flag_killed = Signal()
