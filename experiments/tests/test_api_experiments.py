"""Experiments over HTTP: the resource, the actions, results, and who may what."""

from datetime import timedelta

import pytest

from experiments.jobs import runs
from experiments.models import Experiment
from experiments.tests.conftest import START

# Everything but reading the experiments themselves: who calls, which environment, which role.
DOOR_QUERIES = 3
FIELDS = {
    "id", "name", "hypothesis", "flagKey", "controlVariant", "layer", "trafficPercent", "audience", "primaryMetric",
    "secondaryMetrics", "guardrails", "analysis", "autoPauseOnSrm", "status", "startedAt", "endedAt", "version",
}  # fmt: skip
RESULT_FIELDS = {
    "experiment", "window", "configVersions", "watermark", "variants", "comparisons", "srm", "guardrails", "excluded",
    "recommendation", "caveats",
}  # fmt: skip


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


@pytest.fixture
def body(flag, make_metric):
    make_metric()
    return {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}


def test_experiments__from_draft_to_decision__works(editor, body):
    created = editor.post("experiments", {**body, "hypothesis": "Shorter sells more.", "trafficPercent": 50})
    assert created.status_code == 201
    draft = created.json()
    assert set(draft) >= FIELDS
    assert (draft["status"], draft["trafficPercent"], draft["startedAt"], draft["layer"]) == ("draft", 50, None, None)
    path = f"experiments/{draft['id']}"
    assert editor.get(path).json() == draft

    changed = editor.patch(path, {"name": "Checkout 2", "version": draft["version"]})
    assert (changed.status_code, changed.json()["name"]) == (200, "Checkout 2")
    assert editor.get(f"{path}/preflight").json()["mayStart"] is True
    started = editor.post(f"{path}/start", {"reason": "go"})
    assert (started.status_code, started.json()["status"]) == (200, "running")
    assert started.json()["preflight"]["warnings"]
    assert editor.post(f"{path}/pause").json()["status"] == "paused"
    assert editor.post(f"{path}/resume").json()["status"] == "running"
    restarted = editor.post(f"{path}/restart", {"allocation": [{"variant": "treatment", "percent": 20}]})
    assert (restarted.status_code, restarted.json()["phase"]) == (200, 2)
    ship = {"decision": "ship", "variant": "treatment"}
    refused = editor.post(f"{path}/complete", ship)
    assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "reason")
    completed = editor.post(f"{path}/complete", {**ship, "reason": "A rehearsal."}).json()
    assert (completed["status"], completed["decision"]) == (
        "completed",
        {"decision": "ship", "variant": "treatment"},
    )
    assert editor.get("flags/new-checkout").json()["rollout"] == [{"variant": "treatment", "percent": 100}]


def test_experiments__what_was_read__may_be_sent_back(editor, body):
    draft = editor.post("experiments", body).json()

    assert editor.put(f"experiments/{draft['id']}", draft).status_code == 200


def test_experiments__list__filters(editor, body):
    draft = editor.post("experiments", body).json()
    editor.post("experiments", {**body, "name": "Other"})
    editor.post(f"experiments/{draft['id']}/start")

    names = [row["name"] for row in editor.get("experiments", status="running").json()["results"]]
    assert names == ["Checkout"]
    assert editor.get("experiments", flagKey="nothing").json()["count"] == 0
    assert editor.get("experiments", search="oth").json()["count"] == 1
    assert _problem(editor.get("experiments", status="colour")) == (400, "status", "invalid_choice")


def test_experiments__list__takes_as_many_queries_for_many(editor, body, django_assert_num_queries):
    for number in range(3):
        editor.post("experiments", {**body, "name": f"E{number}"})
    # Where it is, the count, the page, its metrics and its phases.
    with django_assert_num_queries(DOOR_QUERIES + 4):
        assert editor.get("experiments").json()["count"] == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ""}, (400, "name", "blank")),
        ({"flagKey": "nothing"}, (404, "flagKey", "not_found")),
        ({"primaryMetric": "nothing"}, (400, "primaryMetric", "unknown_metric")),
        ({"trafficPercent": 101}, (400, "trafficPercent", "invalid_percent")),
        ({"analysis": {"method": "magic"}}, (400, "analysis.method", "invalid_choice")),
        ({"guardrails": [{"metric": "purchase-rate"}]}, (400, "guardrails[0].marginPercent", "required")),
        ({"colour": 1}, (400, "colour", "unknown_field")),
    ],
)
def test_experiments__wrong_input__is_refused_with_the_field(editor, body, change, problem):
    assert _problem(editor.post("experiments", {**body, **change})) == problem


def test_experiments__outsider__gets_404_everywhere(editor, outsider, body):
    path = f"experiments/{editor.post('experiments', body).json()['id']}"

    assert outsider.get(path).status_code == 404
    assert outsider.get(f"{path}/results").status_code == 404
    for action in ("start", "pause", "resume", "restart"):
        assert outsider.post(f"{path}/{action}").status_code == 404
    assert outsider.post(f"{path}/complete", {"decision": "stop"}).status_code == 404
    assert Experiment.objects.get().status == "draft"


def test_experiments__viewer__may_read_and_not_act(editor, viewer, body):
    path = f"experiments/{editor.post('experiments', body).json()['id']}"

    assert viewer.get(path).status_code == 200
    assert viewer.post(f"{path}/start").status_code == 403
    assert viewer.post("experiments", body).status_code == 403


@pytest.mark.parametrize("pk", ["nothing", "01890000-0000-7000-8000-000000000000", "%00"])
def test_experiment__no_such_id__is_404(editor, environment, pk):
    assert editor.get(f"experiments/{pk}").status_code in {400, 404}


def test_experiment__delete__drafts_alone(editor, body):
    path = f"experiments/{editor.post('experiments', body).json()['id']}"
    editor.post(f"{path}/start")

    assert _problem(editor.delete(path)) == (409, "status", "in_use")
    other = editor.post("experiments", {**body, "name": "Other"}).json()["id"]
    assert editor.delete(f"experiments/{other}").status_code == 204


def test_results__before_the_start__is_refused(editor, body):
    path = f"experiments/{editor.post('experiments', body).json()['id']}"

    assert _problem(editor.get(f"{path}/results")) == (409, "status", "not_started")


def test_results__works(viewer, running, expose):
    expose(running, {"control": 500, "treatment": 500}, converted={"control": 50, "treatment": 70})
    response = viewer.get(f"experiments/{running.key}/results")

    found = response.json()
    assert response.status_code == 200
    assert set(found) >= RESULT_FIELDS
    assert found["experiment"]["id"] == running.key
    assert found["window"]["since"] == START.isoformat().replace("+00:00", "Z")
    assert {row["key"]: (row["users"], row["conversions"], row["rate"]) for row in found["variants"]} == {
        "control": (500, 50, 0.1),
        "treatment": (500, 70, 0.14),
    }
    (comparison,) = found["comparisons"]
    assert (comparison["metric"], comparison["variant"]) == ("purchase-rate", "treatment")
    assert comparison["absoluteLift"] == pytest.approx(0.04)
    assert found["srm"]["observed"] == {"control": 500, "treatment": 500}


def test_results__stored__are_a_series_with_links(viewer, outsider, running, expose):
    expose(running, {"control": 50, "treatment": 50})
    for day in (3, 4):
        runs.store_nightly(running.pk, now=START + timedelta(days=day, minutes=15))
    path = f"experiments/{running.key}/results/history"

    series = viewer.get(path).json()
    assert [row["until"] for row in series["results"]] == ["2026-03-06T00:00:00Z", "2026-03-05T00:00:00Z"]
    first = series["results"][0]
    whole = viewer.get(f"{path}/{first['id']}").json()
    assert whole["results"]["srm"]["observed"] == first["srm"]["observed"] == {"control": 50, "treatment": 50}
    assert set(whole["results"]) >= RESULT_FIELDS
    assert viewer.get(f"{path}/nothing").status_code == 404
    assert outsider.get(path).status_code == outsider.get(f"{path}/{first['id']}").status_code == 404


def test_results__bad_window__is_refused(viewer, running):
    for window in ("yesterday", "0d", "7", "2026-01-01/2026-02-01", "2026-03-05T00:00:00Z/2026-03-04T00:00:00Z"):
        assert _problem(viewer.get(f"experiments/{running.key}/results", window=window)) == (400, "window", "invalid")
    elsewhere = "2025-01-01T00:00:00Z/2025-02-01T00:00:00Z"
    response = viewer.get(f"experiments/{running.key}/results", window=elsewhere)
    assert _problem(response) == (400, "window", "out_of_range")
