"""The experiments app."""

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "experiments"
    verbose_name = "Experiments"

    def ready(self) -> None:
        from analytics.enrichment.attributes import WANTED  # noqa: PLC0415 - models are not there before
        from analytics.enrichment.known_names import KNOWN_NAMES  # noqa: PLC0415 - likewise
        from experiments.selectors import event_names, experiment_tags, wanted_attributes  # noqa: PLC0415 - likewise
        from experiments.services.phases import phases_begun  # noqa: PLC0415 - likewise
        from experiments.services.privacy import AudiencesPlace  # noqa: PLC0415 - likewise
        from experiments.services.targeting import (  # noqa: PLC0415 - likewise
            follow_flag,
            follow_segment,
            phases_begun_by_segment,
        )
        from flags.signals import (  # noqa: PLC0415 - likewise
            flag_change_asked,
            flag_changed_under_experiment,
            segment_change_asked,
            segment_changed,
        )
        from integrations.subjects import register_tags  # noqa: PLC0415 - likewise
        from tenancy.privacy.people import register_place  # noqa: PLC0415 - likewise

        register_place(AudiencesPlace())
        register_tags("experiment", experiment_tags)
        flag_changed_under_experiment.connect(follow_flag, dispatch_uid="experiments.follow_flag")
        flag_change_asked.connect(phases_begun, dispatch_uid="experiments.phases_begun")
        segment_change_asked.connect(phases_begun_by_segment, dispatch_uid="experiments.phases_begun_by_segment")
        segment_changed.connect(follow_segment, dispatch_uid="experiments.follow_segment")
        WANTED.also_from(wanted_attributes)
        KNOWN_NAMES.metrics_from(event_names)
