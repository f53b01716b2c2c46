"""Webhooks in the console: made with a secret that is shown once, tested, rotated, their deliveries sent again."""

import re

import pytest
from django.urls import reverse

from integrations.models import WebhookDelivery, WebhookEndpoint
from integrations.webhooks.delivery import Outcome, deliver_next

LIST = "admin:integrations_webhookendpoint"


def _url(page, thing):
    return reverse(f"{LIST}_{page}", args=[thing.pk])


@pytest.fixture
def hook(acme, console_owner, receiver):
    sent = {"name": "CI", "url": f"{receiver.url}/ci", "kinds": ["webhook.*"], "tags": "pay, cart", "enabled": "on"}
    answer = console_owner.post(reverse(f"{LIST}_add"), sent, follow=True)
    assert answer.status_code == 200, answer.text
    found = WebhookEndpoint.objects.get()
    found.secret = re.search(r"whsec_[\w+/=]+", answer.text)[0]
    return found


def test_webhook__is_made_and_its_secret_shown_once(console_owner, hook):
    assert (hook.events, hook.tags, hook.enabled) == (["webhook.*"], ["pay", "cart"], True)
    again = console_owner.get(_url("secret", hook), follow=True)
    assert hook.secret not in again.text
    assert "was shown once" in again.text


def test_webhook__is_edited_tested_and_its_delivery_sent_again(console_owner, hook, receiver):
    page = console_owner.get(_url("edit", hook)).text
    assert 'value="webhook.*" class' in page or "webhook.*" in page
    fields = {"name": "CD", "url": hook.url, "single": "webhook.updated, flag.killed", "tags": "", "version": 1}
    console_owner.post(_url("edit", hook), {**fields, "enabled": "on"})
    hook.refresh_from_db()
    assert (hook.name, hook.events, hook.tags) == ("CD", ["webhook.updated", "flag.killed"], [])

    answer = console_owner.post(_url("test", hook), follow=True)
    assert "Waiting" in answer.text
    while deliver_next(hook.pk) is Outcome.DELIVERED:
        pass
    test, event = receiver.received
    assert test.verify(hook.secret)["type"] == "webhook.test"
    row = WebhookDelivery.objects.get(kind="event")
    page = console_owner.get(reverse("admin:integrations_webhookdelivery_change", args=[row.pk])).text
    assert "thanks" in page
    assert "webhook.updated" in page
    console_owner.post(reverse("admin:integrations_webhookdelivery_redeliver", args=[row.pk]))
    deliver_next(hook.pk)
    assert receiver.received[2].id == event.id


def test_webhook__rotated__shows_the_new_secret_once(console_owner, hook):
    answer = console_owner.post(_url("rotate", hook), {"reason": "leaked"}, follow=True)

    assert hook.secret not in answer.text
    assert "whsec_" in answer.text


def test_webhooks__for_a_viewer_and_another_tenant__are_not_there(console_viewer, console_outsider, hook):
    for page in ("change", "edit", "rotate", "secret"):
        assert console_viewer.get(_url(page, hook)).status_code in {403, 404}
        assert console_outsider.get(_url(page, hook)).status_code == 404
    assert console_outsider.post(_url("test", hook)).status_code == 404
    listed = console_outsider.get(reverse("admin:integrations_webhookdelivery_changelist"), {"webhook": hook.pk})
    assert "CI" not in listed.text
