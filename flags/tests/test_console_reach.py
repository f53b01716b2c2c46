"""Before production changes, the page says whom it reaches: shares, people, what is unknown, what depends on it."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from flags import services
from flags.admin import reach
from flags.admin.effects import effects
from flags.admin.reach import unknown_reach
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.tests.console_documents import change_url, fields
from tenancy.testing import ALICE

EVERYBODY = [{"attribute": "userId", "operator": "exists"}]
NOBODY = [{"attribute": "userId", "operator": "equals", "value": "nobody"}]


TARGETS = [{"variant": "treatment", "userIds": ["ann"]}]


def rule(conditions, **changes):
    return {"priority": 10, "name": "Live ones", "variant": "treatment", "conditions": conditions, **changes}


@pytest.fixture
def config(acme):
    return services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "pay", "enabled": True})[0]


def seen(environment, *units):
    at = round((timezone.now() - timedelta(minutes=5)).timestamp() * 1000)
    rows = [
        ExposureEvent(
            uuid7(at), environment.pk, "pay", unit, "control", "DEFAULT", None, None, 1, at, at, "api", None, None
        )
        for unit in units
    ]
    store_events(Batch(exposures=rows))


def save(client, config, **changes):
    sent = fields(client, config, **changes)
    return sent, client.post(change_url(config), sent)


def test_rule__whose_reach_is_unknown__asks_before_production_and_not_elsewhere(console_owner, acme, config):
    sent, asked = save(console_owner, config, rules=[rule(EVERYBODY)])

    assert asked.status_code == 200
    assert "This changes Production, which is production." in asked.text
    assert "We cannot tell how many users this reaches: the rule “Live ones” is new." in asked.text
    assert not FlagConfig.objects.get(pk=config.pk).rules.exists()
    confirmed = {**sent, "confirmed": asked.context["confirmed"]}
    assert console_owner.post(change_url(config), confirmed).status_code == 302
    staging = FlagConfig.objects.get(flag=config.flag, environment=acme.staging)
    assert save(console_owner, staging, enabled=True, rules=[rule(EVERYBODY)])[1].status_code == 302


def test_rule__counted_people_decide(console_owner, acme, config):
    seen(acme.production, *(f"user-{number}" for number in range(20)))

    _, few = save(console_owner, config, rules=[rule(NOBODY)])
    assert few.status_code == 302

    config.refresh_from_db()
    _, many = save(console_owner, config, rules=[rule(EVERYBODY)])
    assert many.status_code == 200
    said = " ".join(many.text.split())
    assert "20 people seen in the last 7 days: <strong>20</strong> of them would get something else" in said


def test_flag__that_another_needs__says_so(console_owner, acme, config):
    needed = {"key": "later", "prerequisites": [{"flagKey": "pay", "variants": ["treatment"]}]}
    services.create_flag(actor=ALICE, environment=acme.production, payload=needed)

    _, asked = save(console_owner, config, rollout=[{"variant": "treatment", "percent": 1}])

    assert asked.status_code == 200
    assert "Flags that need what changes may answer differently too: later." in asked.text
    assert save(console_owner, config, name="Another name")[1].status_code == 302
    kill = console_owner.get(reverse("admin:flags_flagconfig_kill", args=[config.pk]))
    assert "Flags that need what changes may answer differently too: later." in kill.text


def test_variant__another_value__moves_whoever_gets_it(console_owner, acme):
    payload = {
        "key": "pay",
        "type": "string",
        "enabled": True,
        "variants": [{"key": "control", "value": "old"}, {"key": "treatment", "value": "blue"}],
        "defaultVariant": "control",
        "offVariant": "control",
        "rules": [rule(EVERYBODY)],
        "rollout": [{"variant": "control", "percent": 95}, {"variant": "treatment", "percent": 5}],
    }
    config = services.create_flag(actor=ALICE, environment=acme.production, payload=payload)[0]
    before = flag_document(config)
    seen(acme.production, "ann", "bob")

    _, asked = save(
        console_owner, config, variants=[{"key": "control", "value": "old"}, {"key": "treatment", "value": "red"}]
    )

    assert asked.status_code == 200
    said = " ".join(asked.text.split())
    assert "from treatment to treatment with another value" in said
    assert "<strong>2</strong> of them would get something else (2 from treatment to treatment with another" in said
    few = {**before, "rules": [], "variants": [before["variants"][0], {"key": "treatment", "value": "red"}]}
    (effect,) = effects({**before, "rules": []}, few)
    assert (effect.moved, effect.moves[0].after) == (pytest.approx(0.05), "treatment with another value")
    assert effects(before, before) == []


def test_variant__another_value_in_staging__asks_before_it_changes_production(console_owner, acme, config):
    production, staging = config, FlagConfig.objects.get(flag=config.flag, environment=acme.staging)
    rollout = [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]
    services.update_flag(actor=ALICE, environment=acme.production, key="pay", payload={"rollout": rollout}, version=1)
    stored = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
    swapped = [{"key": "control", "value": True}, {"key": "treatment", "value": False}]

    sent, asked = save(console_owner, staging, variants=swapped)

    assert asked.status_code == 200
    assert "This changes Production, which is production." in asked.text
    assert "Yes, change production" in asked.text
    assert f"In {acme.production} too" in asked.text
    assert [reach.environment for reach in asked.context["confirm"]][:1] == [acme.staging]
    production.flag.refresh_from_db()
    assert production.flag.variants == stored
    confirmed = {**sent, "confirmed": asked.context["confirmed"]}
    assert console_owner.post(change_url(staging), confirmed).status_code == 302
    production.flag.refresh_from_db()
    assert production.flag.variants == swapped
    back = console_owner.get(reverse("admin:flags_flagconfig_rollback", args=[staging.pk, 1]))
    assert "This changes Production, which is production." in back.text


@pytest.fixture
def slow_store(monkeypatch):
    """A count that the event store needs longer for than anybody waits; the list says how often it was asked."""
    asked = []

    def count(*_arguments):
        asked.append(True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")

    monkeypatch.setattr(reach, "affected_users", count)
    monkeypatch.setattr(reach, "_COUNT_SECONDS", 0.2)
    return asked


def test_save_and_rollback__slow_event_store__is_not_waited_for(console_owner, acme, config, slow_store):
    sent, asked = save(console_owner, config, rules=[rule(EVERYBODY)])
    assert "People cannot be counted at present." in asked.text
    assert len(slow_store) == 1
    assert console_owner.post(change_url(config), {**sent, "confirmed": asked.context["confirmed"]}).status_code == 302
    staging = FlagConfig.objects.get(flag=config.flag, environment=acme.staging)
    assert save(console_owner, staging, enabled=True, rules=[rule(EVERYBODY)])[1].status_code == 302
    assert len(slow_store) == 1

    page = reverse("admin:flags_flagconfig_rollback", args=[config.pk, 1])
    assert "People cannot be counted at present." in console_owner.get(page).text
    assert len(slow_store) == 2
    assert console_owner.post(page, {"reason": ""}).status_code == 302
    assert len(slow_store) == 2


def test_rollback__says_what_is_unknown(console_owner, acme, config):
    services.update_flag(
        actor=ALICE, environment=acme.production, key="pay", payload={"rules": [rule(EVERYBODY)]}, version=1
    )

    page = console_owner.get(reverse("admin:flags_flagconfig_rollback", args=[config.pk, 1]))

    assert "We cannot tell how many users this reaches: the rule “Live ones” is gone." in page.text


def test_segment__that_production_uses__asks_with_what_uses_it(console_owner, acme, config):
    content = {"key": "beta", "included": ["ann"]}
    segment, _ = services.create_segment(actor=ALICE, environment=acme.production, payload=content)
    page = reverse("admin:flags_segment_change", args=[segment.pk])
    sent = {"document": json.dumps({"included": ["ann", "bob"]}), "base": "{}", "version": 1}
    assert console_owner.post(page, sent).status_code == 302
    asks = rule([{"operator": "in_segment", "value": ["beta"]}])
    services.update_flag(actor=ALICE, environment=acme.production, key="pay", payload={"rules": [asks]}, version=1)

    sent = {"document": json.dumps({"included": ["ann", "bob", "cy"]}), "base": "{}", "version": 2}
    asked = console_owner.post(page, sent)

    assert asked.status_code == 200
    assert "We cannot tell how many users come in or leave. It is used by: flag pay, rule 10." in asked.text
    segment.refresh_from_db()
    assert segment.included == ["ann", "bob"]
    assert console_owner.post(page, {**sent, "confirmed": asked.context["confirmed"]}).status_code == 302


def test_unknown_reach__each_part__is_named(config):
    before = {**flag_document(config), "rules": [{**rule(EVERYBODY), "id": "a"}, {**rule(NOBODY, name=""), "id": "b"}]}

    def said(**changes):
        found = unknown_reach(before, {**before, **changes})
        return [text.removeprefix("We cannot tell how many users this reaches: ") for text in found]

    first, second = before["rules"]
    assert said() == []
    assert said(rules=[first]) == ["the rule with priority 10 is gone."]
    assert said(rules=[second, first]) == ["the rules are in another order."]
    assert said(rules=[{**first, "conditions": NOBODY}, second]) == ["the rule “Live ones” has other conditions."]
    assert said(rules=[{**first, "variant": "control"}, second]) == []
    assert len(said(enabled=False)) == 2
    assert said(targets=[{"variant": "treatment", "userIds": ["ann", "bob"]}]) == [
        "Single targets change; up to 2 users are named in them."
    ]
    assert said(prerequisites=[{"flagKey": "x", "variants": ["on"]}])[0].startswith("Prerequisites change")
    assert said(bucketBy="companyId") == ["Users are dealt anew, by another attribute."]
    other = [{**item, "value": f"{item['value']} anew"} for item in before["variants"]]
    assert said(variants=other) == []
    (told,) = unknown_reach({**before, "targets": TARGETS}, {**before, "targets": TARGETS, "variants": other})
    assert told.startswith("The variant “treatment” has another value")


def test_many_flags__say_what_depends_on_them_with_the_same_queries(
    console_owner, acme, config, django_assert_max_num_queries
):
    needed = {"key": "later", "prerequisites": [{"flagKey": "pay", "variants": ["treatment"]}]}
    services.create_flag(actor=ALICE, environment=acme.production, payload=needed)
    for number in range(10):
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": f"other-{number}"})
    chosen = FlagConfig.objects.filter(environment=acme.production).exclude(flag__key="later")
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.production.pk}"
    sent = {"action": "kill_selected", "_selected_action": [row.pk for row in chosen]}

    with django_assert_max_num_queries(40):
        asked = console_owner.post(listed, sent)

    assert "Flags that need what changes may answer differently too: later." in asked.text


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("killing.kill", "kill"),
        ("killing.kill_many", "kill_many"),
        ("killing.kill_tag", "kill_tag"),
        ("list.many", "archive_many"),
    ],
)
def test_confirmed_kill_and_archive__do_not_wait_for_the_reach(console_owner, config, monkeypatch, module, page):
    services.update_flag(
        actor=ALICE, environment=config.environment, key="pay", payload={"tags": ["till"]}, version=config.version
    )
    monkeypatch.setattr(f"flags.admin.{module}.reach_of_many", lambda *_: pytest.fail("The reach was looked up."))
    address = reverse(f"admin:flags_flagconfig_{page}", args=[config.pk] if page == "kill" else [])
    sent = {"reason": "x", "environment": config.environment_id, "flags": config.pk, "tag": "till", "kill": ""}

    assert console_owner.post(address, sent).status_code == 302

    config.refresh_from_db()
    config.flag.refresh_from_db()
    assert config.is_killed or config.flag.is_archived
