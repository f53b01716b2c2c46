"""The approvals app: it guards the gate of the write services, and hears of new environments."""

from typing import Any

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals.audience import concerned  # noqa: PLC0415 - apps must be set up first
        from approvals.guard import guard  # noqa: PLC0415 - apps must be set up first
        from approvals.selectors import frozen  # noqa: PLC0415 - likewise
        from flags.services import gate  # noqa: PLC0415 - likewise
        from integrations.subjects import register_concerned  # noqa: PLC0415 - likewise
        from tenancy.signals import environment_created  # noqa: PLC0415 - likewise

        register_concerned(concerned)
        gate.register(guard)
        gate.register_freezes(frozen)
        environment_created.connect(_guard_new, dispatch_uid="approvals.guard_new")


def _guard_new(*, environment: Any, **_: Any) -> None:
    from approvals.services.guarding import mark_guarded  # noqa: PLC0415 - models must be loaded first

    mark_guarded([environment.pk])
