"""What runs by the clock: each task with its seconds, or its time of day in UTC."""

from typing import Any, Final

from celery.schedules import crontab

CELERY_BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "experiments nightly": {"task": "experiments.nightly", "schedule": crontab(hour="0", minute="15")},
    "experiments watch": {"task": "experiments.watch", "schedule": 600},
    "experiments schedule": {"task": "experiments.schedule", "schedule": 60},
    "experiments splits": {"task": "experiments.watch_splits", "schedule": crontab(hour="1", minute="35")},
    "audit heads": {"task": "audit.heads", "schedule": 3600},
    "flags purge": {"task": "flags.purge_archived", "schedule": crontab(hour="3", minute="5")},
    "flags version log": {"task": "flags.prune_version_log", "schedule": crontab(hour="3", minute="35")},
    "flags debt": {"task": "flags.look_after_flags", "schedule": crontab(hour="5", minute="5")},
    "rollouts": {"task": "rollouts.work", "schedule": 10},
    "events partitions": {"task": "analytics.make_partitions", "schedule": crontab(hour="1", minute="5")},
    "events retention": {"task": "analytics.apply_retention", "schedule": crontab(hour="2", minute="5")},
    "events flag days": {"task": "analytics.aggregate_flags", "schedule": crontab(minute="20")},
    "privacy jobs": {"task": "tenancy.run_privacy_jobs", "schedule": 60},
    "events usage": {"task": "analytics.fold_usage", "schedule": crontab(minute="50")},
    "sessions": {"task": "flagship.clear_sessions", "schedule": crontab(hour="4", minute="5")},
    "events bots": {"task": "analytics.find_fast_bots", "schedule": 900},
    "change requests": {"task": "approvals.publish_due", "schedule": 10},
    "webhooks": {"task": "integrations.look_for_webhooks", "schedule": 5},
    "notifications": {"task": "integrations.notify", "schedule": 30},
    "audit export": {"task": "integrations.stream_audit", "schedule": 30},
    "snapshots export": {"task": "flags.publish_snapshots", "schedule": 15},
    "events export": {"task": "flagship.export_events", "schedule": 300},
    "webhooks log": {"task": "integrations.prune", "schedule": crontab(hour="4", minute="35")},
}
