"""What experiments announce upward, inside the transaction of the change: webhooks and the console connect to it."""

from django.dispatch import Signal

# kwargs: experiment, actor, change ("started", "paused", "resumed", "restarted", "phase_opened",
# "completed").
experiment_changed = Signal()
# kwargs: experiment, kind ("srm" or "guardrail"), action ("warn", "pause" or "kill"), detail (words for people).
experiment_alarmed = Signal()
