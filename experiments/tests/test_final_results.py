"""A final result is the stored row, for good; a row that was changed is said to be, and no page breaks at it."""

from datetime import timedelta

import pytest
from django.urls import reverse

from analytics.services import forget_user
from experiments import services
from experiments.analysis import results_for
from experiments.jobs import runs
from experiments.models import Experiment, ExperimentResult, Phase
from experiments.selectors import get_experiment, latest_results
from experiments.tests.conftest import START
from flags.services import update_flag
from tenancy.admin.testing import signed_in
from tenancy.testing import ALICE

DAY = timedelta(days=1)
CHANGED = "This stored result was changed after it was frozen"


@pytest.fixture
def frozen(environment, running, expose):
    """Completed on the tenth day; months ago, so that nothing can arrive any more."""
    expose(running, {"control": 400, "treatment": 400}, converted={"control": 40, "treatment": 40})
    services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, decision="stop")
    Phase.objects.update(ended_at=START + 10 * DAY)
    Experiment.objects.update(ended_at=START + 10 * DAY)
    return get_experiment(environment, running.pk)


@pytest.mark.parametrize("is_stored_by_night", [True, False])
def test_frozen__metric_flag_and_events_change__answers_the_same_bytes(editor, environment, frozen, is_stored_by_night):
    if is_stored_by_night:
        runs.store_nightly(frozen.pk, now=START + 18 * DAY)
    before = editor.get(f"experiments/{frozen.key}/results")
    editor.patch("metrics/purchase-rate", {"windowHours": 1, "goal": "decrease", "eventName": "refund", "version": 1})
    editor.patch(f"experiments/{frozen.key}", {"name": "Renamed", "version": frozen.version})
    rollout = [{"variant": "treatment", "percent": 10}]
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rollout": rollout}, version=None)
    forget_user(actor=ALICE, organization=environment.project.organization, user_id="user-control-0")

    assert (before.json()["window"]["frozen"], before.json()["comparisons"][0]["absoluteLift"]) == (True, 0)
    assert editor.get(f"experiments/{frozen.key}/results").content == before.content
    assert editor.get(f"experiments/{frozen.key}/results?phase=1").content == before.content
    assert ExperimentResult.objects.get().is_final
    assert runs.nightly_ids() == []


def test_frozen__stored_again__keeps_its_one_row(frozen):
    runs.store_nightly(frozen.pk, now=START + 18 * DAY)
    runs.store_nightly(frozen.pk, now=START + 19 * DAY)

    row = ExperimentResult.objects.get()
    assert row.payload["window"]["asOf"] == (START + 18 * DAY).isoformat()
    assert services.recompute(row)


def _set_figure(payload):
    payload["comparisons"][0]["absoluteLift"] = 0.5
    return payload


@pytest.mark.parametrize(
    "damage",
    [_set_figure, lambda _: {}, lambda _: [], lambda _: "gone", lambda payload: {**payload, "window": None}],
    ids=["a figure", "an empty object", "a list", "a text", "a part"],
)
def test_stored_row__changed__is_said_and_no_figure_shown(viewer, environment, person, frozen, damage):
    runs.store_nightly(frozen.pk, now=START + 18 * DAY)
    row = ExperimentResult.objects.get()
    ExperimentResult.objects.update(payload=damage(row.payload))
    found = viewer.get(f"experiments/{frozen.key}/results").json()
    (point,) = viewer.get(f"experiments/{frozen.key}/results/history").json()["results"]
    whole = viewer.get(f"experiments/{frozen.key}/results/history/{row.pk}").json()

    for results in (found, whole["results"]):
        assert (results["intact"], results["comparisons"]) == (False, [])
        assert {variant["users"] for variant in results["variants"]} == {None}
        assert results["recommendation"]["action"] == "do_not_trust"
        assert results["caveats"][0].startswith(CHANGED)
    assert (point["intact"], point["comparisons"], point["digest"]) == (False, [], row.digest)
    browser = signed_in(person("viewer", environment.project.organization, "vera"))
    for name, more in (("results", []), ("stored", [row.pk]), ("export", []), ("stored_export", [row.pk])):
        page = browser.get(reverse(f"admin:experiments_experiment_{name}", args=[frozen.pk, *more]))
        assert (page.status_code, CHANGED in page.text) == (200, True)


def test_home__row_of_a_running_experiment_was_broken__goes_on(environment, person, running, expose):
    expose(running, {"control": 40, "treatment": 40}, converted={"control": 4, "treatment": 4})
    runs.store_nightly(running.pk, now=START + 2 * DAY)
    ExperimentResult.objects.update(payload={"srm": []})
    browser = signed_in(person("viewer", environment.project.organization, "vera"))

    for path in (reverse("admin:index"), reverse("admin:experiments_experiment_change", args=[running.pk])):
        assert browser.get(path, follow=True).status_code == 200
    assert "stored result was changed" in browser.get(reverse("admin:index"), follow=True).text


def test_looks__a_changed_row__is_no_look(environment, running, expose):
    expose(running, {"control": 2000, "treatment": 2000}, converted={"control": 200, "treatment": 330})
    runs.store_nightly(running.pk, now=START + 2 * DAY)
    payload = latest_results(running).payload
    payload["comparisons"][0]["lookPValue"] = 1e-30
    ExperimentResult.objects.update(payload=payload)
    (comparison,) = results_for(get_experiment(environment, running.pk), now=START + 4 * DAY)["comparisons"]

    assert comparison["sequentialPValue"] > 1e-30
