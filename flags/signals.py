"""What flags announces upward; the experiments app connects to it in `ready()`."""

from django.dispatch import Signal

# kwargs: config (FlagConfig, saved), actor, before and after (documents). Sent inside the transaction that changes a
# flag whose document has an experiment: an edit, a rollback, or a copy from another environment.
flag_changed_under_experiment = Signal()
# kwargs: environment, before and after (documents of one flag). Sent as the impact of a change is asked for; receivers
# answer what the API shows under `beginsPhase`.
flag_change_asked = Signal()
# kwargs: environment, before and after (API resources of one segment). Sent before a change of it is saved; receivers
# answer as those of `flag_change_asked` do.
segment_change_asked = Signal()
# kwargs: segment (saved), actor, before and after (API resources). Sent inside the transaction that changes a segment.
segment_changed = Signal()
# No kwargs. A worker may have snapshots to publish in object storage.
snapshots_waiting = Signal()
# kwarg: draft (flags.services.drafts.Draft, checked). Sent before a changed flag is stored, inside the transaction;
# whoever owns what it changes raises a Conflict.
flag_changes = Signal()
# kwarg: config. Sent before an experiment's section is put into a flag that has none, inside the transaction.
experiment_begins = Signal()
