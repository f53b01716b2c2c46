"""The integrations app: it hears of each audit row and calls a worker once the row is committed."""

from typing import Any

from django.apps import AppConfig
from django.db import transaction


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from django.db.models.signals import pre_delete  # noqa: PLC0415 - apps must be set up first

        from audit.signals import recorded  # noqa: PLC0415 - likewise
        from integrations.signals import work_waiting  # noqa: PLC0415 - likewise

        recorded.connect(_on_recorded, dispatch_uid="integrations.recorded")
        work_waiting.connect(_call_worker, dispatch_uid="integrations.work")
        pre_delete.connect(_wait_for_workers, sender="tenancy.Organization", dispatch_uid="integrations.deleted")


def _on_recorded(**_: Any) -> None:
    from integrations.webhooks.dispatch import wake  # noqa: PLC0415 - models must be loaded first

    transaction.on_commit(wake, robust=True)


def _wait_for_workers(*, instance: Any, **_: Any) -> None:
    """A delivery that is on its way is written down before its endpoint goes."""
    from integrations.models import WebhookCursor  # noqa: PLC0415 - likewise

    list(WebhookCursor.objects.select_for_update(of=("self",)).filter(endpoint__organization=instance))


def _call_worker(**_: Any) -> None:
    from integrations.tasks import deliver_webhooks, notify  # noqa: PLC0415 - likewise

    # Where the message is lost, the schedule asks within a minute.
    deliver_webhooks.apply_async(retry=False)
    notify.apply_async(retry=False)
