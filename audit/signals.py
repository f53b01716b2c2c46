"""The signal of audit. Apps above connect to it in `ready()`."""

from django.dispatch import Signal

# The kwarg is `entries`: rows that were appended in the present transaction, which may still be rolled back.
recorded = Signal()
