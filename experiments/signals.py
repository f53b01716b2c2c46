"""Signals for the apps above, sent inside the transaction of the change."""

from django.dispatch import Signal

# kwargs: experiment, actor, change ("started", "paused", "resumed", "restarted", "phase_opened",
# "completed").
experiment_changed = Signal()
# kwargs: experiment, kind ("srm" or "guardrail"), action ("warn", "pause" or "kill"), detail (a sentence).
experiment_alarmed = Signal()
