"""A phase goes by its metrics as they were defined when it began, whatever becomes of them later."""

from datetime import timedelta
from importlib import import_module

from django.apps import apps

from experiments import services
from experiments.analysis import results_for
from experiments.definitions import definitions_of
from experiments.models import Phase
from experiments.selectors import get_experiment
from experiments.tests.conftest import START
from tenancy.testing import ALICE

GUARDRAIL = {"metric": "errors", "marginPercent": 5, "action": "kill"}
LATER = START + timedelta(days=3)
MEANING = {"eventName": "refund", "windowHours": 1, "goal": "decrease"}


def _figures(environment, experiment, window=None):
    return results_for(get_experiment(environment, experiment.pk), window, now=LATER)


def test_metric__changed_while_an_experiment_runs__its_phase_keeps_the_definition(editor, environment, running, expose):
    expose(running, {"control": 40, "treatment": 40}, converted={"control": 4, "treatment": 12})
    before = _figures(environment, running)
    answer = editor.patch("metrics/purchase-rate", {**MEANING, "version": 1})

    assert answer.status_code == 200
    assert answer.json()["olderDefinitionIn"] == [{"id": running.key, "name": "Checkout", "phase": 1}]
    assert editor.get("metrics/purchase-rate").json() == answer.json()
    assert editor.put("metrics/purchase-rate", answer.json()).status_code == 200
    assert _figures(environment, running) == before


def test_metric__changed__counts_from_the_next_phase_on(editor, environment, running, expose):
    editor.patch("metrics/purchase-rate", {**MEANING, "version": 1})
    services.restart_experiment(actor=ALICE, environment=environment, pk=running.pk)

    first, second = (phase.definitions["primaryMetric"] for phase in Phase.objects.all())
    assert (first["eventName"], first["windowHours"], first["goal"]) == ("purchase", 24, "increase")
    assert (second["eventName"], second["windowHours"], second["goal"]) == ("refund", 1, "decrease")
    assert "olderDefinitionIn" not in editor.get("metrics/purchase-rate").json()


def test_metric__renamed__is_no_older_definition(editor, running):
    answer = editor.patch("metrics/purchase-rate", {"name": "Bought", "version": 1})

    assert "olderDefinitionIn" not in answer.json()


def test_phase__opened_by_an_older_release__is_copied_before_the_metric_changes(editor, environment, running, expose):
    Phase.objects.update(definitions=None)
    expose(running, {"control": 40, "treatment": 40}, converted={"control": 4, "treatment": 12})
    before = _figures(environment, running)
    editor.patch("metrics/purchase-rate", {**MEANING, "version": 1})

    assert _figures(environment, running) == before


def test_migration__phases_that_have_begun__get_the_present_definitions(make_metric, make_experiment, start):
    for key in ("errors", "visits"):
        make_metric(key, type="continuous", eventName=key, valueProperty="size", cap=3)
    content = {"secondaryMetrics": ["visits"], "guardrails": [GUARDRAIL], "analysis": {"winsorizePercent": 1.0}}
    experiment = start(make_experiment(**content))
    Phase.objects.update(definitions=None, reason="")
    import_module("experiments.migrations.0010_copy_definitions_into_phases").copy(apps, None)

    phase = Phase.objects.get()
    # The migration is older than the minimum effect, which none of those phases has.
    assert {**phase.definitions, "minimumEffect": None} == definitions_of(experiment)
    assert phase.definitions["guardrails"][0]["metric"]["cap"] == 3
    assert phase.reason == "The experiment started."
