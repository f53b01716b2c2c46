"""The signal of integrations, to which its tasks are connected."""

from django.dispatch import Signal

# No kwargs. Something was committed that a worker may have to deliver.
work_waiting = Signal()
