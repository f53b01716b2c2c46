"""What acts do before they lock and after: slow reads wait outside, and what was read must still be so."""

from contextlib import nullcontext

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from experiments import services
from experiments.design import planning
from experiments.models import Experiment
from flags.services import gate
from tenancy.errors import Conflict, Invalid, Unavailable
from tenancy.testing import ALICE

SHIP = {"decision": "ship", "variant": "treatment"}
PRO = {"all": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}
RESULTS = "experiments.services.completion.read_results"


def _raise(error):
    raise error


def _locks(queries):
    return [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]]


@pytest.mark.parametrize("error", [Unavailable("It took longer than 30 s."), OperationalError("ClickHouse: away")])
def test_complete__results_cannot_be_worked_out__takes_a_reason_to_ship(editor, running, monkeypatch, error):
    monkeypatch.setattr(RESULTS, lambda **_: _raise(error))
    asked = editor.post(f"experiments/{running.key}/impact", {"act": "complete", **SHIP})
    assert (asked.status_code, asked.json()["objections"]) == (200, ["The results could not be worked out."])
    refused = editor.post(f"experiments/{running.key}/complete", SHIP).json()["errors"][0]
    assert (refused["attr"], refused["code"]) == ("reason", "reason_required")
    assert editor.post(f"experiments/{running.key}/complete", {**SHIP, "reason": "The contract ends."}).json()
    evidence = Entry.objects.get(action="experiment.completed").after["evidence"]
    assert evidence.keys() == {"unavailable", "objections"}


@pytest.mark.parametrize("decision", [{"decision": "stop"}, {"decision": "ship", "variant": "control"}])
def test_complete__results_cannot_be_worked_out__stops_without_a_reason(editor, running, monkeypatch, decision):
    monkeypatch.setattr(RESULTS, lambda **_: _raise(Unavailable("It took longer than 30 s.")))
    answer = editor.post(f"experiments/{running.key}/complete", decision)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    evidence = Entry.objects.get(action="experiment.completed").after["evidence"]
    assert evidence == {"unavailable": "It took longer than 30 s.", "objections": []}


def test_complete__in_a_transaction__goes_on_after_a_query_that_was_stopped(environment, running, monkeypatch):
    monkeypatch.setattr("experiments.analysis.report.RESULTS_SECONDS", 0.0001)
    monkeypatch.setattr("analytics.stores.postgres.reads.SET_UP", "SELECT pg_sleep(1)")

    with transaction.atomic():
        services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, reason="Enough.", **SHIP)

    assert Experiment.objects.get().status == "completed"
    assert "unavailable" in Entry.objects.get(action="experiment.completed").after["evidence"]


@pytest.mark.parametrize(
    ("asked", "reads"),
    [({**SHIP, "reason": "Enough."}, 0), ({"decision": "stop"}, 0), (SHIP, 1)],
    ids=["reason", "stop", "no reason"],
)
def test_complete__on_trial__reads_results_only_where_they_may_refuse(environment, running, monkeypatch, asked, reads):
    found = []
    monkeypatch.setattr(RESULTS, lambda **_: found.append(1) or _raise(Unavailable("Away.")))

    with gate.trial(), nullcontext() if not reads else pytest.raises(Invalid, match="Say in `reason`"):
        services.complete_experiment(actor=ALICE, environment=environment, pk=running.pk, **asked)

    assert (len(found), Experiment.objects.get().status) == (reads, "running")


def test_start__on_trial__makes_no_forecast(environment, make_experiment, monkeypatch):
    draft = make_experiment()
    monkeypatch.setattr(planning, "estimate", lambda _: pytest.fail("A forecast was made."))

    with gate.trial() as watch:
        services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk)

    assert [piece.document["experiment"]["id"] for piece in watch.pieces] == [draft.key]


def test_complete__restarted_meanwhile__is_refused(environment, make_experiment, start, monkeypatch):
    running = start(make_experiment(audience=PRO))

    def restarting(**asked):
        services.restart_experiment(actor=ALICE, environment=environment, pk=running.pk, changes={"audience": None})
        return services.read_results(**asked)

    monkeypatch.setattr(RESULTS, restarting)
    with pytest.raises(Conflict) as refused:
        services.complete_experiment(
            actor=ALICE, environment=environment, pk=running.pk, reason="Enough.", to="audience", **SHIP
        )
    assert refused.value.problems[0].code == "phase_begun"
    assert Experiment.objects.get().status == "running"


@pytest.mark.parametrize(
    ("act", "options"),
    [
        (services.complete_experiment, {**SHIP, "reason": "Enough."}),
        (services.restart_experiment, {"changes": {"rollout": [{"variant": "treatment", "percent": 20}]}}),
    ],
)
def test_act__that_changes_the_flag__locks_the_project_first(environment, make_experiment, start, act, options):
    """Locking one environment and then the others by id would deadlock with a second experiment that ends."""
    draft = make_experiment()
    Experiment.objects.update(allocation=None)
    running = start(draft)
    with CaptureQueriesContext(
        connection,
    ) as found:
        act(actor=ALICE, environment=environment, pk=running.pk, **options)
    assert f'"project_id" = {environment.project_id}' in _locks(found.captured_queries)[0]


def test_start__forecast__is_worked_out_before_the_lock(environment, make_experiment, monkeypatch):
    draft, locks_before, estimate = make_experiment(), [], planning.estimate

    def watched(experiment):
        locks_before.append(_locks(found.captured_queries))
        return estimate(experiment)

    monkeypatch.setattr(planning, "estimate", watched)
    with CaptureQueriesContext(connection) as found:
        services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk)
    assert (locks_before, bool(_locks(found.captured_queries))) == ([[]], True)
