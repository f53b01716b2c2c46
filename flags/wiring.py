"""Connects flags to what tenancy announces."""

from typing import Any

from audit.actors import Actor
from tenancy.models import Environment
from tenancy.signals import credentials_changed, environment_created


def connect() -> None:
    environment_created.connect(_configure_flags, dispatch_uid="flags.configure")
    credentials_changed.connect(_tell_keyrings, dispatch_uid="flags.keyring")


def _configure_flags(*, environment: Environment, actor: Actor, **_: Any) -> None:
    from flags.services.flags import configure_environment  # noqa: PLC0415 - models must be loaded first

    configure_environment(actor=actor, environment=environment)


def _tell_keyrings(**_: Any) -> None:
    from flags.propagation.publishing import publish_keyring  # noqa: PLC0415 - likewise

    publish_keyring()
