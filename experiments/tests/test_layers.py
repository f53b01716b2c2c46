"""Experiments that share a layer: nobody is in two of them, room is limited, freed buckets rest."""

from datetime import timedelta

import pytest
from openflagship.engine import Context

from audit.models import Entry
from experiments import services
from experiments.jobs import runs
from experiments.models import Experiment
from experiments.tests.conftest import HALF
from flags.models import LayerSlot
from flags.propagation.runtime import load_environment
from flags.services.layers import create_layer, delete_layer
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE


@pytest.fixture
def layer(environment):
    created, _ = create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})
    return created


@pytest.fixture
def shared(environment, layer, make_flag, make_metric, start):
    """Start an experiment on a flag of its own in the layer."""
    make_metric()

    def _shared(flag_key, traffic):
        make_flag(flag_key, rollout=HALF)
        payload = {
            "name": f"About {flag_key}",
            "flagKey": flag_key,
            "primaryMetric": "purchase-rate",
            "layer": layer.key,
            "trafficPercent": traffic,
        }
        return start(services.create_experiment(actor=ALICE, environment=environment, payload=payload))

    return _shared


def _held(experiment):
    return [(slot.buckets.lower, slot.buckets.upper) for slot in LayerSlot.objects.filter(experiment_id=experiment.pk)]


def _document_ranges(experiment):
    experiment.config.refresh_from_db()
    return [tuple(item) for item in experiment.config.experiment["ranges"]]


def test_layer__two_experiments__share_no_user(environment, shared):
    first, second = shared("a", 30), shared("b", 50)
    engine = load_environment(environment.pk)
    taken = [
        (engine.evaluate("a", Context(user, {})).experiment, engine.evaluate("b", Context(user, {})).experiment)
        for user in map(str, range(3000))
    ]

    assert not any(one and other for one, other in taken)
    assert 0.25 < sum(one == first.key for one, _ in taken) / 3000 < 0.35, "within five sigma of a layer's salt"
    assert 0.45 < sum(other == second.key for _, other in taken) / 3000 < 0.55
    assert _held(first) == _document_ranges(first) == [(0, 3000)]
    assert _held(second) == _document_ranges(second) == [(3000, 8000)]


def test_layer__no_room_left__refuses_the_start(shared):
    shared("a", 70)
    with pytest.raises(Conflict) as refused:
        shared("b", 40)

    (problem,) = refused.value.problems
    assert (problem.attr, problem.code) == ("trafficPercent", "layer_full")
    assert "30 % left" in problem.detail
    assert Experiment.objects.get(name="About b").status == "draft"


def test_layer__traffic_grows__keeps_what_it_had(environment, shared):
    first, second = shared("a", 20), shared("b", 20)
    grown = services.update_experiment(
        actor=ALICE, environment=environment, pk=first.pk, payload={"trafficPercent": 30}, version=None
    )

    assert _held(grown) == _document_ranges(grown) == [(0, 2000), (4000, 5000)]
    assert _held(second) == [(2000, 4000)]


def test_layer__traffic_grows_beyond_the_room__changes_nothing(environment, shared):
    first = shared("a", 20)
    shared("b", 70)
    with pytest.raises(Conflict) as refused:
        services.update_experiment(
            actor=ALICE, environment=environment, pk=first.pk, payload={"trafficPercent": 40}, version=None
        )

    assert refused.value.problems[0].code == "layer_full"
    assert _held(first) == [(0, 2000)]


def test_layer__completed__rests_before_it_is_given_back(environment, shared):
    first = shared("a", 70)
    ended = services.complete_experiment(actor=ALICE, environment=environment, pk=first.pk, decision="stop").ended_at

    assert runs.rested_ids(ended + timedelta(days=6)) == []
    assert _held(first) == [(0, 7000)]
    assert runs.rested_ids(ended + timedelta(days=7)) == [first.key]
    assert runs.free_layer(first.pk) == "given back"
    assert _held(first) == []
    assert runs.rested_ids(ended + timedelta(days=8)) == []
    assert Entry.objects.get(action="experiment.layer_freed").after == {"layer": "checkout"}


def test_layer__unknown__is_refused(make_experiment):
    with pytest.raises(Invalid, match="no layer"):
        make_experiment(layer="nothing")


def test_layer__of_another_environment__is_unknown(make_experiment, staging):
    create_layer(actor=ALICE, environment=staging, payload={"key": "elsewhere"})
    with pytest.raises(Invalid, match="no layer"):
        make_experiment(layer="elsewhere")


def test_layer__named_by_a_draft__cannot_be_deleted(environment, layer, make_experiment):
    make_experiment(layer="checkout")
    with pytest.raises(Conflict, match="Checkout"):
        delete_layer(actor=ALICE, environment=environment, key="checkout")
