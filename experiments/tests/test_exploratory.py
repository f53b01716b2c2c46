"""Metrics that are added while an experiment runs: shown, marked, and without a part in the decision."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse

from experiments import services
from experiments.analysis import results_for
from experiments.models import Phase
from experiments.selectors import get_experiment
from experiments.tests.conftest import START
from tenancy.admin.testing import signed_in
from tenancy.testing import ALICE

LATER = START + timedelta(days=10)
PLANNED = {"metric": "errors", "marginPercent": 5.0, "action": "pause"}


@pytest.fixture
def running(make_metric, make_experiment, start, expose):
    """The errors are planned as a guardrail; visits and refunds are not planned. Refunds harm."""
    for key in ("errors", "visits", "refunds"):
        make_metric(key, eventName=key, goal="increase" if key == "visits" else "decrease")
    experiment = start(make_experiment(secondaryMetrics=["visits"], guardrails=[PLANNED]), at=START)
    expose(experiment, {"control": 900, "treatment": 900}, converted={"control": 90, "treatment": 200})
    users, refunds = {"control": 900, "treatment": 900}, {"control": 100, "treatment": 500}
    expose(experiment, users, converted=refunds, event_name="refunds")
    return experiment


def _patch(editor, experiment, **change):
    version = editor.get(f"experiments/{experiment.key}").json()["version"]
    return editor.patch(f"experiments/{experiment.key}", {**change, "version": version})


def _results(environment, experiment):
    return results_for(get_experiment(environment, experiment.pk), now=LATER)


@pytest.mark.parametrize("is_paused", [False, True])
def test_metric_added__is_exploratory_and_decides_nothing(editor, environment, running, is_paused):
    before = _results(environment, running)
    if is_paused:
        services.pause_experiment(actor=ALICE, environment=environment, pk=running.pk)
    warning = {"metric": "refunds", "marginPercent": 1.0, "action": "warn"}
    answer = _patch(editor, running, secondaryMetrics=["visits", "refunds"], guardrails=[PLANNED, warning])

    assert answer.status_code == 200
    assert [(item["metric"], item["role"]) for item in answer.json()["exploratory"]] == [
        ("refunds", "guardrail"), ("refunds", "secondary"),
    ]  # fmt: skip
    found = _results(environment, running)
    by_metric = {item["metric"]: item for item in found["comparisons"]}
    refunds, judged = by_metric["refunds"], {item["metric"]: item for item in found["guardrails"]}
    assert (refunds["exploratory"], refunds["direction"], refunds["correction"]) == (True, "worse", "none")
    assert (
        datetime.fromisoformat(refunds["exploratorySince"])
        == Phase.objects.get().experiment.metrics.get(role="secondary", metric__key="refunds").exploratory_since
    )
    assert (judged["refunds"]["exploratory"], "exploratory" in judged["errors"]) == (True, False)
    # The planned figures are corrected among themselves, and what is recommended is what was.
    assert [item for item in found["comparisons"] if not item.get("exploratory")] == before["comparisons"]
    if not is_paused:
        assert found["recommendation"] == before["recommendation"]
        assert judged["refunds"]["status"] == "violated"
    assert editor.put(f"experiments/{running.key}", answer.json()).status_code == 200


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"primaryMetric": "visits"}, "primaryMetric"),
        ({"secondaryMetrics": []}, "secondaryMetrics"),
        ({"guardrails": []}, "guardrails"),
        ({"guardrails": [{**PLANNED, "marginPercent": 50.0}]}, "guardrails"),
        ({"guardrails": [PLANNED, {"metric": "refunds", "marginPercent": 5.0, "action": "kill"}]}, "guardrails"),
    ],
)
def test_planned_metrics__stay_fixed(editor, running, change, attr):
    answer = _patch(editor, running, **change)
    (problem,) = answer.json()["errors"]

    assert (answer.status_code, problem["attr"], problem["code"]) == (409, attr, "rollout_conflict")


def test_metric_added__completed__is_refused(editor, environment, running):
    services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, decision="stop")

    assert _patch(editor, running, secondaryMetrics=["visits", "refunds"]).status_code == 409


def test_restart__plans_what_was_exploratory(editor, environment, running):
    _patch(editor, running, secondaryMetrics=["visits", "refunds"])
    services.restart_experiment(actor=ALICE, environment=environment, pk=running.pk)

    first, second = (phase.definitions["secondaryMetrics"][1] for phase in Phase.objects.all())
    assert first["metric"]["key"] == second["metric"]["key"] == "refunds"
    assert first["exploratorySince"] is not None
    assert second["exploratorySince"] is None
    assert "exploratory" not in editor.get(f"experiments/{running.key}").json()


def test_results_page__exploratory_metric__is_marked(editor, environment, person, running):
    _patch(editor, running, secondaryMetrics=["visits", "refunds"])
    browser = signed_in(person("viewer", environment.project.organization, "vera"))
    page = browser.get(reverse("admin:experiments_experiment_results", args=[running.pk]))
    table = browser.get(reverse("admin:experiments_experiment_export", args=[running.pk])).text

    assert "exploratory since" in page.text
    (row,) = [line for line in table.splitlines() if line.startswith("refunds,secondary")]
    assert row.split(",")[-1].startswith("20")
