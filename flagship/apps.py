"""The project's own app: management commands, error handling, health and the console's frame."""

from django.apps import AppConfig


class FlagShipConfig(AppConfig):
    name = "flagship"
    verbose_name = "FlagShip"

    def ready(self) -> None:
        # Registers with the library how a credential is presented.
        from flagship.openapi import document  # noqa: F401, PLC0415 - importing is the registration, and apps must be loaded first
        from flagship.servers.database_sessions import connect  # noqa: PLC0415 - likewise

        connect()
