"""POST events/usage: summaries are counted once, and held against what is served. GET: who asks for what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.models import UsageReceipt
from flags.propagation.runtime import RUNTIME


@pytest.fixture
def sent(environment, make_flag, key):
    """Send a summary as an SDK does; returns the answer."""
    make_flag("new-checkout")
    sender = key("client")
    sender._client.raise_request_exception = False
    RUNTIME.refresh()

    def _send(name="first", **changes):
        summary = {
            "sdk": "python/0.1.0",
            "instance": "host-1",
            "service": "checkout-service",
            "since": (timezone.now() - timedelta(minutes=1)).isoformat(),
            "until": timezone.now().isoformat(),
            "flags": [
                {"flagKey": "new-checkout", "variant": "treatment", "reason": "ROLLOUT", "count": 5},
                {"flagKey": "new-checkout", "variant": "control", "reason": "ROLLOUT", "count": 7},
                {"flagKey": "new-checkout", "variant": "long-gone", "reason": "LATER_REASON", "count": 2},
                {"flagKey": "new-checkout", "variant": None, "reason": "ERROR", "errorCode": "GENERAL", "count": 1},
                {"flagKey": "made-up", "variant": "x", "reason": "DEFAULT", "count": 3},
            ],
            "unknownFlags": [{"flagKey": "typo", "count": 4}],
            "unknownFlagsUnnamed": 0,
            **changes,
        }
        return sender.post("events/usage", summary, headers={"Idempotency-Key": name} if name else {})

    return _send


def test_summary__sent_again__counts_once_and_is_read_by_source(sent, viewer):
    assert [sent().json() for _ in range(2)] == [{"accepted": 6, "rejected": []}] * 2
    until = (timezone.now() + timedelta(hours=20)).isoformat()
    # A clock that is fast counts as now.
    assert sent("edge", source="edge", sdk="edge/0.1.0", until=until, unknownFlags=[]).status_code == 202

    used = viewer.get("flags/new-checkout/usage", window="24h").json()
    sdk = {"kind": "sdk", "service": "checkout-service", "sdk": "python/0.1.0"}
    rows = {(row["variant"], row["reason"]): row["evaluations"] for row in used["usage"] if row["usedBy"] == sdk}
    assert rows == {
        ("control", "ROLLOUT"): 7,
        ("treatment", "ROLLOUT"): 5,
        (None, "UNKNOWN"): 2,
        (None, "ERROR"): 1,
    }
    assert used["evaluations"] == 30
    assert [use["sdk"] for use in used["usedBy"]] == ["edge/0.1.0", "python/0.1.0"]
    assert used["lastEvaluatedAt"] <= timezone.now().isoformat()
    unknown = {
        (row["key"], row["usedBy"]["kind"]): row["evaluations"] for row in viewer.get("unknown-flags").json()["results"]
    }
    assert unknown == {("typo", "sdk"): 4, ("made-up", "sdk"): 3, ("made-up", "edge"): 3}


def test_unknown_flags__one_that_was_made_since__is_left_out(sent, viewer, make_flag):
    sent()
    make_flag("typo")

    assert [row["key"] for row in viewer.get("unknown-flags").json()["results"]] == ["made-up"]


@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"name": ""}, "Idempotency-Key"),
        ({"sdk": "python"}, "sdk"),
        ({"until": "yesterday"}, "until"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"source": "api"}, "source"),
        ({"flags": [{"flagKey": "a", "reason": "DEFAULT", "count": 0}]}, "flags[0].count"),
        ({"service": "a\0"}, None),
    ],
    ids=["no-id", "no-version", "no-instant", "long-ago", "other-source", "no-count", "nul"],
)
def test_summary__that_is_wrong__is_refused_by_name_and_not_counted(sent, changes, attr):
    answer = sent(**changes)

    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, attr)
    assert not UsageReceipt.objects.exists()


@pytest.mark.parametrize("window", ["500d", "x"], ids=["too-long", "unreadable"])
def test_usage__window_that_cannot_be_answered__is_refused(sent, viewer, window):
    answer = viewer.get("flags/new-checkout/usage", window=window)

    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "window")


def test_summary__before_the_configuration_is_loaded__is_to_be_sent_again(sent, viewer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RUNTIME, "environments", {})
        answer = sent()
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert not UsageReceipt.objects.exists()

    assert sent().status_code == 202
    assert viewer.get("flags/new-checkout/usage").json()["evaluations"] == 15
