"""The console asks twice: before shipping against the results (found C6) and before a phase begins (found C5)."""

import json
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from analytics.event_records import Batch
from analytics.services import store_events
from audit.models import Entry
from experiments import services
from experiments.models import Phase
from experiments.tests.conftest import exposure
from flags.services import create_flag
from tenancy.console_kit.pages import object_url
from tenancy.testing import ALICE

PRO = [{"attribute": "plan", "operator": "equals", "value": "pro"}]
RULE = {"priority": 10, "name": "Pro", "conditions": PRO, "variant": "treatment"}


@pytest.fixture
def started(acme):
    environment = acme.staging
    flag = {"key": "new-checkout", "enabled": True, "rules": [RULE]}
    create_flag(actor=ALICE, environment=environment, payload=flag)
    metric = {"key": "purchases", "type": "binary", "eventName": "purchase"}
    services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {
        "name": "Checkout",
        "flagKey": "new-checkout",
        "primaryMetric": "purchases",
        "audience": {"all": [{"attribute": "country", "operator": "equals", "value": "US"}]},
    }
    draft = services.create_experiment(actor=ALICE, environment=environment, payload=content)
    at = timezone.now() - timedelta(days=9)
    experiment, _ = services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk, at=at)
    seen = [
        exposure(experiment, f"{variant}-{number}", variant, at + timedelta(hours=number % 48))
        for variant, users in (("control", 600), ("treatment", 400))
        for number in range(users)
    ]
    store_events(Batch(seen, []))
    return experiment


def test_complete__against_the_results__names_them_and_takes_a_reason(console_editor, started):
    url = reverse("admin:experiments_experiment_complete", args=[started.pk])
    page = console_editor.get(url)
    assert page.context["confirm"].tone == "danger"
    assert "The sample ratio failed" in page.text
    assert "Required to ship against the results" in page.text
    values = [choice["value"] for choice in page.context["choices"]]
    assert values == ["ship:treatment:everyone", "ship:treatment:audience", "stop"]
    refused = console_editor.post(url, {"choice": "ship:treatment:audience", "reason": ""})
    assert refused.status_code == 422
    assert "Say in `reason` why treatment is shipped all the same" in refused.text
    assert console_editor.post(url, {"choice": "ship:treatment:audience", "reason": "Promised."}).status_code == 302
    entry = Entry.objects.get(action="experiment.completed")
    assert (entry.reason, entry.after["decision"]["to"]) == ("Promised.", "audience")
    assert "The audience gets treatment" in console_editor.get(object_url(started)).text


def test_edit_flag__begins_a_phase__is_asked_first_with_its_cost(console_editor, started):
    url = object_url(started.config)
    edit = console_editor.get(url).context["edit"]
    changed = [{**edit.document["rules"][0], "variant": "control"}]
    sent = {
        "version": edit.version,
        "base": edit.base_text,
        "document": json.dumps({**edit.document, "rules": changed}),
    }
    asked = console_editor.post(url, sent)
    text = " ".join(asked.text.split())
    assert "This begins a phase of the experiment Checkout." in text
    assert "Its 1,000 users of 9.0 days so far are set aside" in text
    assert Phase.objects.count() == 1
    assert console_editor.post(url, {**sent, "confirmed": asked.context["confirmed"]}).status_code == 302
    assert Phase.objects.count() == 2


def test_edit_flag__event_store_is_away__is_asked_all_the_same(console_editor, started, monkeypatch):
    def away(_):
        raise OperationalError("ClickHouse: connection refused")

    monkeypatch.setattr("experiments.services.phases.exposure_summary", away)
    url = object_url(started.config)
    edit = console_editor.get(url).context["edit"]
    document = {**edit.document, "rules": [{**edit.document["rules"][0], "variant": "control"}]}
    sent = {"version": edit.version, "base": edit.base_text, "document": json.dumps(document)}
    asked = console_editor.post(url, sent)
    assert "Its unknown number of users of 9.0 days so far are set aside" in " ".join(asked.text.split())
    assert Phase.objects.count() == 1
    assert console_editor.post(url, {**sent, "confirmed": asked.context["confirmed"]}).status_code == 302
