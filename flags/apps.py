"""The flags app, and what it does when tenancy announces a new environment or a changed credential."""

from typing import Any

from django.apps import AppConfig

from audit.actors import Actor


class FlagsConfig(AppConfig):
    name = "flags"
    verbose_name = "Flags"

    def ready(self) -> None:
        from analytics.enrichment.known_names import KNOWN_NAMES  # noqa: PLC0415 - apps must be set up first
        from flags.privacy import FlagsPlace, SegmentsPlace, VersionLogPlace  # noqa: PLC0415 - likewise
        from flags.propagation.served_names import served_flags, served_units  # noqa: PLC0415 - likewise
        from flags.selectors import flag_owners, flag_tags  # noqa: PLC0415 - likewise
        from flags.signals import snapshots_waiting  # noqa: PLC0415 - likewise
        from integrations.subjects import register_owners, register_tags  # noqa: PLC0415 - likewise
        from tenancy.privacy.people import register_place  # noqa: PLC0415 - likewise
        from tenancy.signals import credentials_changed, environment_created, exposures_changed  # noqa: PLC0415 - apps must be set up first

        for place in (FlagsPlace(), SegmentsPlace(), VersionLogPlace()):
            register_place(place)
        environment_created.connect(_configure_flags, dispatch_uid="flags.configure")
        exposures_changed.connect(_log_other_exposures, dispatch_uid="flags.exposures")
        credentials_changed.connect(_announce_keyring, dispatch_uid="flags.keyring")
        snapshots_waiting.connect(_call_worker, dispatch_uid="flags.snapshots")
        register_tags("flag", flag_tags)
        register_owners("flag", flag_owners)
        KNOWN_NAMES.flags_from(served_flags, served_units)


def _configure_flags(*, environment: Any, actor: Actor, **_: Any) -> None:
    from flags.services.flags import configure_environment  # noqa: PLC0415 - models must be loaded first

    configure_environment(actor=actor, environment=environment)


def _log_other_exposures(*, environment: Any, actor: Actor, **_: Any) -> None:
    from flags.services.flags import follow_exposures  # noqa: PLC0415 - models must be loaded first

    follow_exposures(actor=actor, environment=environment)


def _announce_keyring(**_: Any) -> None:
    from flags.propagation.publishing import publish_keyring  # noqa: PLC0415 - likewise

    publish_keyring()


def _call_worker(**_: Any) -> None:
    from flags.tasks import publish_snapshots  # noqa: PLC0415 - likewise

    publish_snapshots.apply_async(retry=False)
