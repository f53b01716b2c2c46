"""The rollouts app: it guards what a running plan owns, and hears of kills and archivings of its flags."""

from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "rollouts"
    verbose_name = "Rollouts"

    def ready(self) -> None:
        from audit.signals import recorded  # noqa: PLC0415 - apps must be set up first
        from flags.exchange import export  # noqa: PLC0415 - likewise
        from flags.services import imports  # noqa: PLC0415 - likewise
        from flags.signals import experiment_begins, flag_changes  # noqa: PLC0415 - likewise
        from rollouts.services import exchange  # noqa: PLC0415 - likewise
        from rollouts.services.conflicts import (  # noqa: PLC0415 - likewise
            refuse_experiment,
            refuse_owned_change,
            stop_with_flag,
        )

        export.register_part(exchange.NAME, exchange.exported)
        imports.register_part(exchange.NAME, exchange.ENTITY, exchange.put)
        flag_changes.connect(refuse_owned_change, dispatch_uid="rollouts.refuse_owned_change")
        experiment_begins.connect(refuse_experiment, dispatch_uid="rollouts.refuse_experiment")
        recorded.connect(stop_with_flag, dispatch_uid="rollouts.stop_with_flag")
