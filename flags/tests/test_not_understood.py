"""What connected services do not understand: reported, kept, shown, and said before a change is saved."""

import time

import pytest
from django.db import transaction
from django.urls import reverse
from openflagship import FlagShip
from openflagship.wire.acknowledgements import FEATURES, Understanding

from flags import services
from flags.admin.flag.draft_preview import preview_change
from flags.models import Rule
from flags.propagation.acknowledgements import Report, record
from flags.propagation.kill_status import kill_status
from flags.propagation.service_features import outdated_services
from flags.selectors import get_config
from flags.services import version_log
from flags.testing.streams import eventually
from tenancy import services as tenancy
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
US = {"attribute": "country", "operator": "equals", "value": "US"}
RULE = {"priority": 10, "variant": "treatment", "conditions": [US]}
TREE = {"rules": [{**RULE, "conditions": {"any": [US]}}]}


@pytest.fixture
def config(environment, make_flag):
    return make_flag("a", rules=[RULE])


def say(environment, instance, sdk, understanding=None, *, version=1, seconds_ago=0):
    at = int((time.time() - seconds_ago) * 1000)
    record(environment.pk, [Report(instance, sdk, version, at, understanding)])


def write_as_a_later_release(environment, conditions):
    """Store what this release's services would refuse."""
    with transaction.atomic():
        locked = version_log.lock_environment(environment)
        Rule.objects.filter(config__flag__key="a").update(conditions=conditions)
        config = get_config(locked, "a")
        config.version += 1
        config.save()
        version_log.append_flag(ALICE, config, locked)


def test_understanding__said_once__stays_with_the_instance_and_is_shown(environment, config, viewer, key):
    unclear = {"flags": ["a"], "segments": ["beta"], "count": 2}
    body = {"instance": "pod-1", "version": 1, "sdk": "python/0.1.0", "features": ["rule_trees"]}
    assert key().post("stream/ack", {**body, "notUnderstood": unclear}).status_code == 202
    say(environment, "pod-1", "", version=-1)
    say(environment, "pod-2", "node/0.1.0")

    shown = {service["instance"]: service for service in viewer.get("flags/a/kill/status").json()["services"]}
    assert (shown["pod-1"]["features"], shown["pod-1"]["notUnderstood"]) == (["rule_trees"], unclear)
    assert (shown["pod-2"]["features"], shown["pod-2"]["notUnderstood"]) == (None, None)
    assert key().post("stream/ack", {**body, "version": 2, "notUnderstood": {"count": 0}}).status_code == 202
    assert [one.not_understood_keys for one in kill_status(config).services] == [[], []]
    assert key().post("stream/ack", {**body, "notUnderstood": {"flags": "a"}}).status_code == 400


def test_impact__document_that_services_are_too_old_for__counts_them_by_sdk(environment, config, viewer):
    say(environment, "new", "python/0.2.0", Understanding(FEATURES))
    say(environment, "old-1", "python/0.1.0", Understanding(("bucket_by_list",)))
    say(environment, "old-2", "python/0.1.0", Understanding(("bucket_by_list",)))
    say(environment, "silent", "go/1")
    say(environment, "just here", "go/1", version=-1)
    say(environment, "gone", "node/0.1.0", seconds_ago=120)

    found = viewer.post("flags/a/impact", {"config": TREE}).json()["notUnderstoodBy"]
    assert found == [
        {"sdk": "python", "version": "0.1.0", "instances": 2, "features": ["rule_trees"]},
        {"sdk": "go", "version": "1", "instances": 1, "features": ["rule_trees"]},
    ]
    assert viewer.post("flags/a/impact", {"config": {"rules": [RULE]}}).json()["notUnderstoodBy"] == []
    assert [one["instances"] for one in preview_change(environment, "a", TREE).outdated] == [2, 1]


def test_outdated__by_a_process_whose_clock_is_hours_off__are_those_that_redis_heard_lately(environment, monkeypatch):
    say(environment, "old", "python/0.1.0", Understanding(()))
    true_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_time() + 7_200_000_000_000)
    assert [one.instances for one in outdated_services(environment.pk, ["rule_trees"])] == [1]


def test_sdk__flag_of_a_later_release__keeps_its_version_says_so_and_obeys_a_kill(
    acme, live_server, stream_port, console_viewer
):
    environment = acme.staging
    payload = {"key": "a", "enabled": True, "rules": [RULE]}
    config, _ = services.create_flag(actor=ALICE, environment=environment, payload=payload)
    secret = tenancy.issue_credential(
        actor=ALICE, kind="server", name="sdk", organization=environment.project.organization, environment=environment
    ).secret
    stream_url = f"http://127.0.0.1:{stream_port}"
    with FlagShip(secret, live_server.url, stream_url=stream_url, first_backoff_seconds=0.1) as client:

        def answer():
            return client.variation_detail("a", {"userId": "ann", "country": "US"})

        def mine():
            return next((one for one in kill_status(config).services if one.instance == client.instance), None)

        eventually(lambda: answer().variant == "treatment" and client.status().connection == "streaming")
        write_as_a_later_release(environment, [{**US, "operator": "resembles"}])
        eventually(lambda: answer().detail == "not_understood")
        kept = answer()
        assert (kept.variant, kept.reason, kept.stale) == ("treatment", "RULE_MATCH", True)
        eventually(lambda: (said := mine()) and said.not_understood_keys == ["a"])
        assert mine().features == FEATURES

        services.kill_flag(actor=ALICE, environment=environment, key="a", variant="control", reason="drill")
        eventually(lambda: answer().reason == "KILL_SWITCH")
        eventually(lambda: mine().took_ms is not None)
        page = console_viewer.get(reverse("admin:flags_flagconfig_kill_status", args=[config.pk])).text
        assert "Does not understand a: it serves the last version that it understood" in page

        services.release_flag(actor=ALICE, environment=environment, key="a")
        eventually(lambda: answer().detail == "not_understood" and answer().variant == "treatment")
        write_as_a_later_release(environment, [])
        eventually(lambda: answer().detail is None and not answer().stale)
        eventually(lambda: mine().not_understood_keys == [])
