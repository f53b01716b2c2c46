"""The tenancy app."""

from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "tenancy"
    verbose_name = "Organization"

    def ready(self) -> None:
        from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415 - models are not there before

        from audit.chain import expect_chains  # noqa: PLC0415 - likewise
        from tenancy.models import Organization  # noqa: PLC0415 - likewise
        from tenancy.process_memory import on_reset  # noqa: PLC0415 - likewise

        expect_chains(lambda: Organization.objects.values_list("pk", flat=True))
        on_reset(ContentType.objects.clear_cache)
