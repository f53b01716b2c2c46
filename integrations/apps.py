"""The integrations app: it hears of each audit row and calls a worker once the row is committed."""

from typing import Any

from django.apps import AppConfig
from django.db import transaction


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from audit.signals import recorded  # noqa: PLC0415 - apps must be set up first
        from integrations.signals import work_waiting  # noqa: PLC0415 - likewise

        recorded.connect(_on_recorded, dispatch_uid="integrations.recorded")
        work_waiting.connect(_call_worker, dispatch_uid="integrations.work")


def _on_recorded(**_: Any) -> None:
    from integrations.webhooks.dispatch import wake  # noqa: PLC0415 - models must be loaded first

    transaction.on_commit(wake, robust=True)


def _call_worker(**_: Any) -> None:
    from integrations.tasks import deliver_webhooks, notify  # noqa: PLC0415 - likewise

    # Where the message is lost, the schedule asks within a minute.
    deliver_webhooks.apply_async(retry=False)
    notify.apply_async(retry=False)
