"""The tenancy app."""

from typing import Any

from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "tenancy"
    verbose_name = "Organization"

    def ready(self) -> None:
        from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415 - models are not there before

        from audit.chain import expect_chains  # noqa: PLC0415 - likewise
        from tenancy.models import Organization  # noqa: PLC0415 - likewise
        from tenancy.privacy.people import register_place  # noqa: PLC0415 - likewise
        from tenancy.privacy.places import AuditPlace  # noqa: PLC0415 - likewise
        from tenancy.process_memory import on_reset  # noqa: PLC0415 - likewise
        from tenancy.signals import privacy_job_created  # noqa: PLC0415 - likewise

        register_place(AuditPlace())
        privacy_job_created.connect(_run_privacy_jobs, dispatch_uid="tenancy.privacy")
        expect_chains(lambda: Organization.objects.values_list("pk", flat=True))
        on_reset(ContentType.objects.clear_cache)


def _run_privacy_jobs(**_: Any) -> None:
    from tenancy.privacy.tasks import run_privacy_jobs  # noqa: PLC0415 - likewise

    # Where the message is lost, the schedule asks within a minute.
    run_privacy_jobs.apply_async(retry=False)
