"""A layer's holdout: buckets that no experiment may have, whose users get the default and count in no result."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from openflagship.engine import Context
from psycopg.types.range import Range

from audit.models import Entry
from experiments import services
from experiments.design.preflight import check_before_start
from experiments.tests.conftest import HALF
from flags.documents import layer_resource
from flags.exchange.export import export_environment
from flags.models import Layer, LayerSlot
from flags.propagation.runtime import load_environment
from flags.selectors import get_layer
from flags.services.imports import import_environment
from flags.services.layers import create_layer, delete_layer, update_layer
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE


@pytest.fixture
def layer(environment):
    created, _ = create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})
    return created


@pytest.fixture
def hold_out(environment, layer):
    def _hold_out(percent):
        payload = {"holdoutPercent": percent}
        return update_layer(actor=ALICE, environment=environment, key=layer.key, payload=payload, version=None)

    return _hold_out


@pytest.fixture
def draft(environment, layer, make_flag, make_metric):
    make_metric()

    def _draft(flag_key, traffic):
        make_flag(flag_key, rollout=HALF)
        payload = {
            "name": f"About {flag_key}",
            "flagKey": flag_key,
            "primaryMetric": "purchase-rate",
            "layer": layer.key,
            "trafficPercent": traffic,
        }
        return services.create_experiment(actor=ALICE, environment=environment, payload=payload)

    return _draft


def test_holdout__set__is_reserved_and_audited(layer, hold_out):
    held = layer_resource(hold_out(12.5))

    assert (held["holdoutPercent"], held["holdout"]) == (12.5, {"start": 8750, "end": 10_000})
    entry = Entry.objects.get(action="layer.updated")
    assert (entry.before["holdoutPercent"], entry.after["holdoutPercent"]) == (0, 12.5)
    assert layer_resource(hold_out(0))["holdout"] is None


def test_holdout__its_users__get_what_others_do_of_every_flag(environment, hold_out, draft, start):
    hold_out(20)
    first, second = start(draft("a", 50)), start(draft("b", 30))
    engine = load_environment(environment.pk)
    answers = [(engine.evaluate("a", Context(user, {})), engine.evaluate("b", Context(user, {})))
               for user in map(str, range(2000))]  # fmt: skip
    held_out = [pair for pair in answers if not any(answer.experiment for answer in pair)]

    assert 0.15 < len(held_out) / 2000 < 0.25, "a fifth, within five sigma of a layer's salt"
    assert {answer.reason for pair in held_out for answer in pair} == {"ROLLOUT", "DEFAULT"}
    ranges = LayerSlot.objects.order_by("buckets").values_list("experiment_id", "buckets")
    assert [(pk, item.lower, item.upper) for pk, item in ranges] == [
        (first.pk, 0, 5000),
        (second.pk, 5000, 8000),
        (None, 8000, 10_000),
    ]


def test_holdout__leaves_too_little_room__refuses_the_start(hold_out, draft, start):
    hold_out(20)
    experiment = draft("a", 90)

    assert [problem.code for problem in check_before_start(experiment).conflicts] == ["layer_full"]
    with pytest.raises(Conflict, match="80 % left"):
        start(experiment)


def test_holdout__traffic_grows_into_it__is_refused(environment, hold_out, draft, start):
    hold_out(20)
    experiment = start(draft("a", 70))
    with pytest.raises(Conflict) as refused:
        services.update_experiment(
            actor=ALICE, environment=environment, pk=experiment.pk, payload={"trafficPercent": 81}, version=None
        )

    assert refused.value.problems[0].code == "layer_full"


def test_holdout__reaches_into_an_experiments_buckets__is_refused(hold_out, draft, start):
    experiment = start(draft("a", 70))
    assert hold_out(30).holdout_buckets == 3000
    with pytest.raises(Conflict, match=experiment.key) as refused:
        hold_out(30.01)

    assert [(problem.attr, problem.code) for problem in refused.value.problems] == [
        ("holdoutPercent", "holdout_conflict")
    ]
    assert Layer.objects.get().holdout_buckets == 3000


def test_holdout__buckets_that_rest__are_not_to_be_had(environment, hold_out, draft, start):
    experiment = start(draft("a", 70))
    services.complete_experiment(actor=ALICE, environment=environment, pk=experiment.pk, decision="stop")
    with pytest.raises(Conflict, match="rests for 7 days"):
        hold_out(40)


@pytest.mark.parametrize("percent", [-1, 101, float("nan"), "5", None, True])
def test_holdout__no_percentage__is_refused(hold_out, percent):
    with pytest.raises(Invalid) as refused:
        hold_out(percent)

    assert refused.value.problems[0].attr == "holdoutPercent"


def test_holdout__given_at_creation__is_kept(environment):
    payload = {"key": "prices", "holdoutPercent": 5}
    made, _ = create_layer(actor=ALICE, environment=environment, payload=payload)
    again, is_new = create_layer(actor=ALICE, environment=environment, payload=payload)

    assert (made.holdout_buckets, again.pk, is_new) == (500, made.pk, False)
    with pytest.raises(Conflict):
        create_layer(actor=ALICE, environment=environment, payload={**payload, "holdoutPercent": 6})


def test_holdout__over_http__is_set_and_shown(editor, layer):
    sent = editor.patch("layers/checkout", {"version": 1, "holdoutPercent": 10})

    assert (sent.status_code, sent.json()["holdoutPercent"]) == (200, 10)
    assert editor.get("layers/checkout").json()["holdout"] == {"start": 9000, "end": 10_000}
    assert editor.patch("layers/checkout", {"version": 2, "holdoutPercent": 120}).status_code == 400


def test_holdout__an_experiments_buckets_in_it__are_refused_by_the_database(layer, hold_out):
    hold_out(10)
    with pytest.raises(IntegrityError, match="layer_slots_never_overlap"), transaction.atomic():
        LayerSlot.objects.create(layer=layer, experiment_id=uuid4(), buckets=Range(8_999, 9_001))
    with pytest.raises(IntegrityError, match="layer_holdout_once"), transaction.atomic():
        LayerSlot.objects.create(layer=layer, buckets=Range(0, 10))
    LayerSlot.objects.create(layer=layer, experiment_id=uuid4(), buckets=Range(8_990, 9_000))


def test_holdout__changed_and_taken_away__frees_its_buckets(environment, layer, hold_out):
    for percent, slots in ((10, [(9_000, 10_000)]), (25, [(7_500, 10_000)]), (5, [(9_500, 10_000)]), (0, [])):
        hold_out(percent)
        found = LayerSlot.objects.filter(layer=layer)
        assert [(slot.buckets.lower, slot.buckets.upper) for slot in found] == slots
    hold_out(10)
    delete_layer(actor=ALICE, environment=environment, key=layer.key)
    assert not LayerSlot.objects.exists()


def test_holdout__exported_and_imported__is_the_same(environment, staging, layer, hold_out):
    hold_out(12.5)
    data = export_environment(environment)
    for expected in ("created", "unchanged"):
        report = import_environment(actor=ALICE, environment=staging, data=data)
        assert getattr(report, expected) == [f"layer {layer.key}"]
    copied = get_layer(staging, layer.key)
    assert (copied.holdout_buckets, layer_resource(copied)["holdout"]) == (1_250, {"start": 8_750, "end": 10_000})
    update_layer(actor=ALICE, environment=staging, key=layer.key, payload={"holdoutPercent": 0}, version=None)
    import_environment(actor=ALICE, environment=staging, data=data)
    assert get_layer(staging, layer.key).holdout_buckets == 1_250
