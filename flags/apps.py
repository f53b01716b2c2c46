"""The flags app."""

from django.apps import AppConfig


class FlagsConfig(AppConfig):
    name = "flags"
    verbose_name = "Flags"

    def ready(self) -> None:
        from flags import wiring  # noqa: PLC0415 - models must be loaded first

        wiring.connect()
