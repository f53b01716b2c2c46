"""Phases over HTTP and in the console: why each began, its results for good, and its end as the verdict."""

from datetime import timedelta

import pytest
from django.urls import reverse

from analytics.event_records import Batch
from analytics.services import store_events
from experiments import services
from experiments.jobs import runs
from experiments.models import ExperimentResult, Phase
from experiments.selectors import get_experiment
from experiments.tests.conftest import START, exposure
from flags.services import update_flag
from tenancy.admin.testing import signed_in
from tenancy.testing import ALICE

DAY = timedelta(days=1)
PRO = [{"attribute": "plan", "operator": "equals", "value": "pro"}]
RULE = {"priority": 1, "conditions": PRO, "variant": "treatment"}


@pytest.fixture
def two_phases(environment, running, expose):
    """Ten days with the first rules; then another rule."""
    expose(running, {"control": 300, "treatment": 300}, converted={"control": 30, "treatment": 60})
    seen = [exposure(running, "both", variant, START + DAY) for variant in ("control", "treatment")]
    store_events(Batch(seen, []))
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rules": [RULE]}, version=None)
    Phase.objects.filter(number=1).update(ended_at=START + 10 * DAY)
    return get_experiment(environment, running.pk)


def test_phases__over_http__say_why_each_began(viewer, two_phases):
    first, second = viewer.get(f"experiments/{two_phases.key}/phases").json()["results"]

    assert (first["number"], first["reason"], first["users"], first["crossovers"]) == (
        *(1, "The experiment started.", 600, 1),
    )
    assert first["split"] == [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}]
    assert first["metrics"]["primaryMetric"]["windowHours"] == 24
    assert (first["final"], second["final"], second["endedAt"]) == (True, False, None)
    assert (second["reason"], second["users"]) == ("The flag's rules changed.", 0)
    assert viewer.get(first["results"].removeprefix("/api/")).json()["window"]["phase"] == 1


def test_results__of_an_earlier_phase__say_why_it_ended(viewer, two_phases):
    found = viewer.get(f"experiments/{two_phases.key}/results?phase=1").json()

    assert (found["window"]["phase"], found["srm"]["observed"]) == (1, {"control": 300, "treatment": 300})
    assert found["recommendation"]["text"] == "This phase ended because the flag's rules changed."
    assert (found["recommendation"]["action"], found["recommendation"]["reason"]) == ("hold", "no_verdict")
    assert viewer.get(f"experiments/{two_phases.key}/results").json()["window"]["phase"] == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [("phase=3", "unknown_phase"), ("phase=first", "unknown_phase"), ("phase=1&window=7d", "invalid")],
)
def test_results__no_such_phase__is_400(viewer, two_phases, query, code):
    answer = viewer.get(f"experiments/{two_phases.key}/results?{query}")
    (problem,) = answer.json()["errors"]

    assert (answer.status_code, problem["attr"], problem["code"]) == (400, "phase", code)


def test_nightly__earlier_phase_is_frozen__is_stored_once_for_good(viewer, two_phases):
    Phase.objects.filter(number=2).update(started_at=START + 10 * DAY)
    runs.store_nightly(two_phases.pk, now=START + 16 * DAY)
    assert not ExperimentResult.objects.filter(phase__number=1).exists()
    assert "1 earlier phases for good" in runs.store_nightly(two_phases.pk, now=START + 18 * DAY)
    runs.store_nightly(two_phases.pk, now=START + 19 * DAY)

    row = ExperimentResult.objects.get(phase__number=1)
    assert row.is_final
    assert viewer.get(f"experiments/{two_phases.key}/results?phase=1").json() == row.payload


def test_restart__says_so(environment, running, viewer):
    rollout = [{"variant": "treatment", "percent": 20}]
    services.restart_experiment(
        actor=ALICE, environment=environment, pk=running.pk, changes={"rollout": rollout}, reason="A wrong event."
    )
    _, second = viewer.get(f"experiments/{running.key}/phases").json()["results"]

    assert second["reason"] == "The experiment was restarted with another split. A wrong event."


def test_results_page__phases__are_chosen_with_their_reasons(environment, person, two_phases):
    browser = signed_in(person("viewer", environment.project.organization, "vera"))
    address = reverse("admin:experiments_experiment_results", args=[two_phases.pk])
    page = browser.get(address, {"phase": 1})

    assert 'href="?phase=2"' in page.text
    assert "The flag&#x27;s rules changed." in page.text
    assert page.context["payload"]["window"]["phase"] == 1
    assert "phase=1" in page.context["export_url"]
    assert ",phase,1" in browser.get(page.context["export_url"]).text
    assert "There is" in browser.get(address, {"phase": 9}).text


def test_results_page__decided__says_who_when_and_why(environment, person, running):
    address = reverse("admin:experiments_experiment_results", args=[running.pk])
    organization = environment.project.organization
    editor, viewer = (
        signed_in(person("editor", organization, "eddie")),
        signed_in(person("viewer", organization, "vera")),
    )
    for name in ("pause", "complete", "restart"):
        link = reverse(f"admin:experiments_experiment_{name}", args=[running.pk])
        assert (link in editor.get(address).text, link in viewer.get(address).text) == (True, False)
    reason = "No lift after four weeks."
    services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, decision="stop", reason=reason)
    page = viewer.get(address).text

    assert f"By {ALICE.label}" in page
    assert reason in page
