"""The patch of a scheduled change is checked as the thing's own PATCH is, whatever is in it."""

from typing import Any

import pytest

from flags.models import FlagConfig
from rollouts.models import ScheduledChange
from rollouts.tests.conftest import KEY
from tenancy.testing import Caller

pytestmark = pytest.mark.django_db
NAIVE = "2099-03-01T08:00:00"
# Fields whose service takes what their form has read.
FIELDS = {
    "flag": ("variants", "rules", "rollout", "targets", "enabled"),
    "segment": ("conditions", "included"),
    "experiment": ("startsAt", "endsAt", "autoPauseOnSrm", "allocation", "guardrails", "analysis", "name"),
}
HOSTILE: list[Any] = ["nope", NAIVE, 5, True, [5], {"a": 1}, [None], "9999-12-31T23:59:59-12:00"]


@pytest.fixture
def things(editor: Caller, flag: FlagConfig) -> dict[str, str]:
    """The key of one thing of each kind."""
    editor.post("metrics", {"key": "m", "type": "binary", "eventName": "buy"})
    experiment = editor.post("experiments", {"name": "E", "flagKey": KEY, "primaryMetric": "m"}).json()
    editor.post("segments", {"key": "s"})
    return {"flag": KEY, "segment": "s", "experiment": experiment["id"]}


def _schedule(editor: Caller, kind: str, key: str, patch: dict[str, Any]) -> Any:
    resource = {"type": kind, "key": key}
    return editor.post(
        "scheduled-changes", {"resource": resource, "patch": patch, "baseVersion": 1, "at": "2098-03-01T08:00:00Z"}
    )


@pytest.mark.parametrize("kind", FIELDS)
def test_patch__with_any_value__is_answered_as_the_things_own_patch(
    editor: Caller, things: dict[str, str], kind: str
) -> None:
    editor._client.raise_request_exception = False
    path = f"{kind}s/{things[kind]}"
    differing = []
    for field in FIELDS[kind]:
        for value in HOSTILE:
            answer = _schedule(editor, kind, things[kind], {field: value})
            if answer.status_code == 201:
                editor.delete(f"scheduled-changes/{answer.json()['id']}")
                continue
            own = editor.patch(path, {field: value, "version": 1})
            if answer.status_code not in {400, 409} or answer.json()["errors"] != own.json()["errors"]:
                differing.append((field, value, answer.status_code, own.status_code))
    assert differing == []


def test_patch__instant_without_a_zone__is_refused(editor: Caller, things: dict[str, str]) -> None:
    answer = _schedule(editor, "experiment", things["experiment"], {"startsAt": NAIVE})
    assert answer.status_code == 400
    assert [(error["attr"], error["code"]) for error in answer.json()["errors"]] == [("startsAt", "invalid")]
    assert "with its zone" in answer.json()["errors"][0]["detail"]
    made = _schedule(editor, "experiment", things["experiment"], {"startsAt": f"{NAIVE}+01:00"})
    assert made.status_code == 201
    assert ScheduledChange.objects.get().patch == {"startsAt": f"{NAIVE}+01:00"}
