"""The analytics app."""

from typing import Any

from django.apps import AppConfig

from audit.actors import Actor


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        from analytics.services import EventsPlace  # noqa: PLC0415 - models are not there before
        from tenancy.privacy.people import register_place  # noqa: PLC0415 - likewise
        from tenancy.signals import environment_created  # noqa: PLC0415 - likewise

        environment_created.connect(_choose_pseudonyms, dispatch_uid="analytics.pseudonyms")
        register_place(EventsPlace())


def _choose_pseudonyms(*, environment: Any, actor: Actor, **_: Any) -> None:
    from analytics.services import set_event_policy  # noqa: PLC0415 - likewise

    if environment.stores_pseudonyms:
        set_event_policy(actor=actor, environment=environment, retention_days=None, stores_pseudonyms=True)
