"""The project's own app: management commands, error handling, health and the console's frame."""

from django.apps import AppConfig


class FlagShipConfig(AppConfig):
    name = "flagship"
    verbose_name = "FlagShip"
