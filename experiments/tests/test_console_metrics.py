"""Metrics in the console."""

import time

import pytest
from django.urls import reverse
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent
from analytics.services import store_events
from audit.models import Entry
from experiments import services
from experiments.models import Metric
from flags import services as flag_services
from tenancy.testing import ALICE

PURCHASE = {"key": "purchase-rate", "name": "Purchases", "type": "binary", "eventName": "purchase", "goal": "increase"}


@pytest.fixture
def metric(acme):
    content = {"key": "purchase-rate", "type": "binary", "eventName": "purchase", "windowHours": 24}
    return services.create_metric(actor=ALICE, environment=acme.staging, payload=content)[0]


def add_url(acme):
    return f"{reverse('admin:experiments_metric_add')}?environment={acme.staging.pk}"


def change_url(metric):
    return reverse("admin:experiments_metric_change", args=[metric.pk])


def test_metric__created_and_listed__works(console_editor, acme):
    answer = console_editor.post(add_url(acme), PURCHASE)

    assert answer.status_code == 302
    assert Metric.objects.get().event_name == "purchase"
    assert "Purchases" in console_editor.get(reverse("admin:experiments_metric_changelist"), follow=True).text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"valueProperty": "total"}, "valueProperty"),
        ({"eventName": ""}, "eventName"),
        ({"type": "quantile"}, "quantile"),
        ({"windowHours": "0"}, "windowHours"),
    ],
)
def test_metric__wrong_input__says_so_beside_the_field(console_editor, acme, changes, field):
    answer = console_editor.post(add_url(acme), {**PURCHASE, **changes})

    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert not Metric.objects.exists()


def test_metric__page__says_who_uses_it_and_which_types_have_a_field(console_viewer, console_editor, acme, metric):
    assert "No experiment uses it." in console_viewer.get(change_url(metric)).text
    flag_services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "pay"})
    content = {"name": "Sells more", "flagKey": "pay", "primaryMetric": "purchase-rate"}
    services.create_experiment(actor=ALICE, environment=acme.staging, payload=content)

    assert "Used by: Sells more." in console_viewer.get(change_url(metric)).text
    form = console_editor.get(add_url(acme)).context["form"]
    assert form["denominatorEventName"].field.widget.attrs["data-choices"] == "ratio"
    assert form["cap"].field.widget.attrs["data-choices"] == "count continuous"


def test_metric__of_a_property__keeps_it_when_saved_again(console_editor, acme):
    revenue = {**PURCHASE, "type": "continuous", "valueProperty": "total"}
    console_editor.post(add_url(acme), revenue)
    metric = Metric.objects.get()
    shown = console_editor.get(change_url(metric)).context["form"].initial
    assert (metric.value_property, shown["valueProperty"]) == ("total", "total")
    assert console_editor.post(change_url(metric), {**revenue, "version": metric.version}).status_code == 302
    metric.refresh_from_db()
    assert metric.value_property == "total"


def test_metric__saved__works(console_editor, metric):
    sent = {**PURCHASE, "name": "Orders", "version": metric.version}

    assert console_editor.post(change_url(metric), sent).status_code == 302
    metric.refresh_from_db()
    assert (metric.name, metric.window_hours) == ("Orders", None)


def test_metric__whose_event_never_arrived__says_so_until_one_arrives(console_editor, acme, metric):
    said = "No event called &#x27;purchase&#x27; has arrived here"
    assert said in console_editor.get(change_url(metric)).text
    bought = ConversionEvent(uuid7(), acme.staging.pk, "alice", "purchase", None, time.time_ns() // 10**6, 0)
    store_events(Batch([], [bought]))
    assert said not in console_editor.get(change_url(metric)).text


def test_metric__changed_meanwhile__shows_their_change_and_keeps_both(console_editor, acme, metric):
    services.update_metric(
        actor=ALICE,
        environment=acme.staging,
        key="purchase-rate",
        payload={"goal": "decrease", "name": "Theirs"},
        version=metric.version,
    )

    sent = {**PURCHASE, "name": "Mine", "windowHours": "24", "version": metric.version}
    answer = console_editor.post(change_url(metric), sent)

    assert answer.status_code == 409
    conflict, form = answer.context["conflict"], answer.context["form"]
    assert (conflict["who"], conflict["both"]) == ("alice", ["name"])
    assert {"goal", "name"} <= {change["path"] for change in conflict["changes"]}
    assert (form.initial["name"], form.initial["goal"], form.initial["windowHours"]) == ("Mine", "decrease", 24)
    assert "alice changed this page while you were editing" in answer.text

    again = {**sent, "goal": "decrease", "version": form.initial["version"]}
    assert console_editor.post(change_url(metric), again).status_code == 302
    metric.refresh_from_db()
    assert (metric.name, metric.goal, metric.window_hours) == ("Mine", "decrease", 24)


def test_metric__viewer_and_outsider__may_not(console_viewer, console_outsider, acme, metric):
    assert "purchase" in console_viewer.get(change_url(metric)).text
    assert console_viewer.post(change_url(metric), PURCHASE).status_code == 403
    assert console_viewer.post(add_url(acme), PURCHASE).status_code == 403
    assert console_outsider.get(change_url(metric)).status_code == 404
    assert "purchase-rate" not in console_outsider.get(reverse("admin:experiments_metric_changelist"), follow=True).text


def test_metric__deleted__is_gone_with_its_reason_asked_for(console_editor, metric):
    address = reverse("admin:experiments_metric_delete", args=[metric.pk])
    assert address in console_editor.get(change_url(metric)).text
    assert "cannot be brought back" in console_editor.get(address).text

    assert console_editor.post(address, {"reason": "Unused"}).status_code == 302
    assert not Metric.objects.exists()
    assert Entry.objects.get(action="metric.deleted").reason == "Unused"


def test_metric__deleted_while_an_experiment_counts_by_it__is_refused_with_its_name(console_editor, acme, metric):
    flag_services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})
    content = {"name": "Checkout sells", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    services.create_experiment(actor=ALICE, environment=acme.staging, payload=content)

    answer = console_editor.post(reverse("admin:experiments_metric_delete", args=[metric.pk]))

    assert answer.status_code == 409
    assert "Checkout sells" in answer.text
    assert Metric.objects.exists()


def test_metric__deleted_by_viewer_or_outsider__is_not(console_viewer, console_outsider, metric):
    address = reverse("admin:experiments_metric_delete", args=[metric.pk])

    assert address not in console_viewer.get(change_url(metric)).text
    assert console_viewer.post(address).status_code == 403
    assert console_outsider.post(address).status_code == 404
    assert Metric.objects.exists()


@pytest.mark.parametrize("page", ["change", "delete"])
@pytest.mark.parametrize("named_in", ["form", "address"])
def test_metric__another_tab_looks_elsewhere__is_saved_where_it_was_opened(console_owner, acme, metric, page, named_in):
    url = reverse(f"admin:experiments_metric_{page}", args=[metric.pk])
    metrics = reverse("admin:experiments_metric_changelist")
    console_owner.get(metrics, {"environment": acme.production.pk})
    opened = console_owner.get(url)
    assert opened.context["page_environment"] == acme.production
    console_owner.get(metrics, {"environment": acme.staging.pk})

    named = {"environment": acme.production.pk}
    sent = {"eventName": "order", "type": "binary", "goal": "increase", "version": metric.version, "reason": "gone"}
    if named_in == "form":
        answer = console_owner.post(url, {**sent, **named})
    else:
        answer = console_owner.post(f"{url}?environment={acme.production.pk}", sent)

    assert answer.status_code == 302
    assert f"environment={acme.production.pk}" in answer.url
    assert Metric.objects.filter(event_name="purchase").count() == 0
