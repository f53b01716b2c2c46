"""What the server evaluates is counted by flag, variant, reason and source, with a unit and without."""

from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from analytics.models import FlagUsage, UsageSource
from analytics.usage import reading, tally
from analytics.usage.batches import API, OFREP
from analytics.usage.tally import USAGE
from flags import staleness
from flags.models import Flag, FlagConfig
from flags.propagation import poller
from flags.propagation.runtime import RUNTIME


@pytest.fixture
def ask(make_flag, key):
    make_flag("kill-old-jobs")
    headers = {"Authorization": f"Bearer {key('server').secret}"}
    RUNTIME.refresh()
    return lambda path, body: Client().post(path, body, content_type="application/json", headers=headers)


def test_evaluations__each_surface__are_counted_by_source_without_a_unit_too(environment, ask):
    for path, body in (
        ("/api/evaluate", {"flagKey": "kill-old-jobs"}),
        ("/api/evaluate", {"flagKey": "kill-old-jobs", "userId": "u", "source": "nightly-job"}),
        ("/api/flags/evaluate/all", {"userId": "u"}),
        ("/ofrep/v1/evaluate/flags/kill-old-jobs", {}),
        ("/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "u"}}),
    ):
        assert ask(path, body).status_code == 200, path
    assert ask("/api/evaluate", {"flagKey": "no-such-flag"}).status_code == 404
    USAGE.flush()

    now = timezone.now()
    found = reading.usage(environment.pk, "kill-old-jobs", now - timedelta(hours=1), now + timedelta(hours=1))
    name = "a service"  # the credential's
    assert {(row.source.kind, row.source.service): row.evaluations for row in found} == {
        (API, name): 2,
        (API, "nightly-job"): 1,
        (OFREP, name): 2,
    }
    assert {row.variant for row in found} == {"control"}
    (unknown,) = reading.unknown_flags(environment.pk)
    assert (unknown.flag_key, unknown.evaluations, unknown.source.service) == ("no-such-flag", 1, name)


def test_flag__asked_for_without_a_unit__is_listed_as_used_within_two_minutes(ask, viewer, monkeypatch):
    assert viewer.get("flags/kill-old-jobs/usage").json()["usedBy"] == []
    assert ask("/api/evaluate", {"flagKey": "kill-old-jobs"}).status_code == 200

    # A process stores what it counted at its first look after the pause; `POLL_SECONDS` is 60 at most.
    latest = tally._FLUSH_SECONDS + 60 * max(poller._SPREAD)
    assert latest <= 120
    monkeypatch.setattr(USAGE, "_flush_at", USAGE._flush_at - latest)
    # It would close the connection that this test's transaction stands on.
    monkeypatch.setattr(poller, "close_old_connections", lambda: None)
    poller.Poller(RUNTIME).poll()

    used = viewer.get("flags/kill-old-jobs/usage").json()
    assert [use["service"] for use in used["usedBy"]] == ["a service"]
    assert timezone.now() - timedelta(minutes=2) <= datetime.fromisoformat(used["lastEvaluatedAt"]) <= timezone.now()
    reasons = viewer.get("flags/kill-old-jobs/lifecycle").json()["reasons"]
    assert {
        "code": "asked_for",
        "sentence": "It was asked for last less than a day ago, by a service in Production.",
    } in (reasons)


@pytest.mark.parametrize(("days", "is_unused"), [(6, False), (40, True)], ids=["lately", "long-ago"])
def test_stale__asked_for_without_a_unit__is_not_called_unused(environment, make_flag, settings, days, is_unused):
    settings.STALE_FLAG_DAYS = 5
    config = make_flag("split", enabled=True, rollout=[{"variant": "treatment", "percent": 50}])
    long_ago = timezone.now() - timedelta(days=90)
    Flag.objects.update(updated_at=long_ago)
    FlagConfig.objects.update(updated_at=long_ago)
    config = FlagConfig.objects.select_related("flag", "environment").get(pk=config.pk)
    used = FlagUsage.objects.create
    at = timezone.now() - timedelta(days=days)
    source = UsageSource.objects.create(environment_id=environment.pk, kind=API, service="job", sdk="")
    used(environment_id=environment.pk, flag_key="split", source=source, variant="", reason="ROLLOUT", last_at=at)

    evidence = staleness.evidence_of(environment, [(config, [])])[config.pk]
    assert evidence["lastEvaluatedAt"] == at
    assert [reason["code"] for reason in evidence["reasons"]] == (["not_evaluated"] if is_unused else [])
    found = FlagConfig.objects.filter(environment=environment)
    assert staleness.stale_pks(environment, found) == ({config.pk} if is_unused else set())


def test_poll__usage_that_cannot_be_stored__keeps_the_configuration_current(ask, monkeypatch):
    def fold(_):
        raise DatabaseError("canceling statement due to statement timeout")

    assert ask("/api/evaluate", {"flagKey": "kill-old-jobs"}).status_code == 200
    monkeypatch.setattr(tally, "fold", fold)
    # It would close the connection that this test's transaction stands on.
    monkeypatch.setattr(poller, "close_old_connections", lambda: None)
    monkeypatch.setattr(USAGE, "_flush_at", 0.0)
    poller.Poller(RUNTIME).poll()

    assert RUNTIME.is_database_there
    assert not USAGE.is_due
    monkeypatch.undo()
    USAGE.flush()
    assert FlagUsage.objects.get().flag_key == "kill-old-jobs"
