"""The way back from a page, and the audit log that knows experiments by name."""

from django.urls import reverse

from experiments import services as experiment_services
from flags import services
from tenancy.testing import ALICE


def test_trail__leads_to_the_list_as_it_was_filtered__in_the_environment_of_the_page(console_owner, acme):
    config, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})
    listed = reverse("admin:flags_flagconfig_changelist")
    change = reverse("admin:flags_flagconfig_change", args=[config.pk])

    bare = console_owner.get(reverse("admin:flags_flagconfig_kill", args=[config.pk]))
    kept = console_owner.get(change, {"_changelist_filters": f"environment={acme.staging.pk}&state=off"})

    assert bare.context["trail"] == [("Flags", f"{listed}?environment={acme.staging.pk}"), ("new-checkout", change)]
    assert kept.context["trail"] == [("Flags", f"{listed}?environment={acme.staging.pk}&state=off")]
    # A key is written as it is.
    assert '<li aria-current="page">new-checkout</li>' in kept.text
    assert "New-checkout" not in kept.text


def test_audit__finds_an_experiment_by_its_name__and_shows_it(console_owner, console_outsider, acme):
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "pay", "enabled": True})
    metric = {"key": "m", "type": "binary", "eventName": "m"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)
    design = {"name": "Shorter form", "flagKey": "pay", "primaryMetric": "m"}
    made = experiment_services.create_experiment(actor=ALICE, environment=acme.staging, payload=design)
    experiment_services.start_experiment(actor=ALICE, environment=acme.staging, pk=made.pk)

    found = console_owner.get(reverse("admin:audit_entry_changelist"), {"q": "shorter"})

    actions = {entry.action for entry in found.context["cl"].result_list}
    assert {"experiment.created", "experiment.started"} <= actions
    assert "experiment Shorter form" in found.text
    assert not console_outsider.get(reverse("admin:audit_entry_changelist"), {"q": "shorter"}).context["cl"].result_list
