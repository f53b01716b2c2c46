"""Segments and layers: state, audit row, version log and message; cycles, use, and buckets that never overlap."""

import uuid

import pytest
from django.db import IntegrityError, transaction
from openflagship.engine import Context
from psycopg.types.range import Range

from audit.models import Entry
from flags import services
from flags.documents import segment_document
from flags.models import Change, LayerSlot, Segment
from flags.propagation.runtime import load_environment
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE

PRO = {"all": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}


def _in_segment(*keys):
    return {"operator": "in_segment", "value": list(keys)}


@pytest.fixture
def make_segment(environment):
    def _make(key, **payload):
        return services.create_segment(actor=ALICE, environment=environment, payload={"key": key, **payload})[0]

    return _make


@pytest.fixture
def layer(environment):
    return services.create_layer(actor=ALICE, environment=environment, payload={"key": "checkout"})[0]


def test_create_segment__works(environment, published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        segment, is_new = services.create_segment(
            actor=ALICE, environment=environment, payload={"key": "beta", "included": ["u1", "u1"], "conditions": PRO}
        )

    assert is_new
    assert (segment.name, segment.included, segment.version) == ("beta", ["u1"], 1)
    assert Entry.objects.get(entity_type="segment").action == "segment.created"
    step = Change.objects.get()
    assert (step.kind, step.entity, step.document) == ("segment_updated", "segment", segment_document(segment))
    assert [message["key"] for message in published()] == ["beta"]


def test_create_segment__served__decides_a_rule(environment, make_flag, make_segment):
    make_segment("beta", conditions=PRO, excluded=["mallory"])
    make_flag("a", rules=[{"priority": 1, "variant": "treatment", "conditions": [_in_segment("beta")]}])
    compiled = load_environment(environment.pk)

    assert compiled.evaluate("a", Context("u", {"plan": "pro"})).reason == "RULE_MATCH"
    assert compiled.evaluate("a", Context("mallory", {"plan": "pro"})).reason == "DEFAULT"


def test_create_segment__same_again__gives_what_is_there(environment, make_segment):
    first = make_segment("beta", conditions=PRO)
    again, is_new = services.create_segment(
        actor=ALICE, environment=environment, payload={"key": "beta", "conditions": PRO}
    )

    assert (again.pk, is_new) == (first.pk, False)
    with pytest.raises(Conflict) as refused:
        make_segment("beta", included=["u"])
    assert refused.value.problems[0].code == "key_exists"


@pytest.mark.parametrize(
    ("payload", "attr"),
    [
        ({"key": "a b"}, "key"),
        ({"key": "a", "included": [""]}, "included[0]"),
        ({"key": "a", "conditions": {"all": [{"attribute": "x", "operator": "like"}]}}, "conditions.all[0].operator"),
        ({"key": "a", "conditions": {"any": {}}}, "conditions.any"),
        ({"key": "a", "nonsense": 1}, "nonsense"),
        ({"key": "a", "name": "x" * 201}, "name"),
    ],
)  # fmt: skip
def test_create_segment__what_may_not_be__is_refused_by_name(environment, payload, attr):
    with pytest.raises(Invalid) as refused:
        services.create_segment(actor=ALICE, environment=environment, payload=payload)

    assert refused.value.problems[0].attr == attr
    assert not Segment.objects.exists()


def test_update_segment__works(environment, make_segment, published, django_capture_on_commit_callbacks):
    make_segment("beta", included=["u1"])
    with django_capture_on_commit_callbacks(execute=True):
        segment = services.update_segment(
            actor=ALICE, environment=environment, key="beta", payload={"conditions": PRO}, version=1
        )

    assert (segment.included, segment.conditions, segment.version) == (["u1"], PRO, 2)
    assert Entry.objects.order_by("-id").first().action == "segment.updated"
    assert published()[0]["document"]["conditions"] == PRO
    with pytest.raises(Conflict, match="version 2"):
        services.update_segment(actor=ALICE, environment=environment, key="beta", payload={}, version=1)


def test_update_segment__segments_in_a_circle__are_refused(environment, make_segment):
    make_segment("a")
    make_segment("b", conditions={"not": _in_segment("a")})
    with pytest.raises(Invalid) as refused:
        services.update_segment(
            actor=ALICE, environment=environment, key="a", payload={"conditions": _in_segment("b")}, version=None
        )

    assert refused.value.problems[0].code == "segment_cycle"


def test_delete_segment__works(environment, make_segment):
    make_segment("beta")
    services.delete_segment(actor=ALICE, environment=environment, key="beta", reason="unused")

    assert not Segment.objects.exists()
    assert Change.objects.order_by("-version").first().document is None
    assert Entry.objects.get(action="segment.deleted").reason == "unused"


def test_delete_segment__in_use__is_refused_with_its_users(environment, make_flag, make_segment):
    make_segment("beta")
    make_segment("gamma", conditions={"any": [_in_segment("beta")]})
    make_flag("a", rules=[{"priority": 3, "variant": "treatment", "conditions": [{"not": _in_segment("beta")}]}])
    with pytest.raises(Conflict) as refused:
        services.delete_segment(actor=ALICE, environment=environment, key="beta")

    assert refused.value.problems[0].code == "in_use"
    assert "flag a, rule 3, segment gamma" in refused.value.problems[0].detail


def test_create_layer__works(environment, layer):
    assert (layer.name, layer.salt, layer.version) == ("checkout", "layer:checkout", 1)
    assert Entry.objects.get(entity_type="layer").action == "layer.created"


def test_reserve_range__grows_and_shrinks__moves_the_fewest(layer):
    first, second = uuid.uuid4(), uuid.uuid4()
    with transaction.atomic():
        assert services.reserve_range(layer, first, 2000) == [(0, 2000)]
        assert services.reserve_range(layer, second, 3000) == [(2000, 5000)]
        assert services.reserve_range(layer, first, 2500) == [(0, 2000), (5000, 5500)]
        assert services.reserve_range(layer, second, 1000) == [(2000, 3000)]
        assert services.reserve_range(layer, first, 3000) == [(0, 2000), (3000, 3500), (5000, 5500)]


def test_reserve_range__more_than_is_left__is_layer_full(layer):
    with transaction.atomic():
        services.reserve_range(layer, uuid.uuid4(), 9000)
    with pytest.raises(Conflict) as refused, transaction.atomic():
        services.reserve_range(layer, uuid.uuid4(), 1001)

    assert refused.value.problems[0].code == "layer_full"
    assert "10 % left" in refused.value.problems[0].detail


def test_layer_slots__overlap_by_sql__the_database_refuses(layer):
    LayerSlot.objects.create(layer=layer, experiment_id=uuid.uuid4(), buckets=Range(0, 100))
    with pytest.raises(IntegrityError), transaction.atomic():
        LayerSlot.objects.create(layer=layer, experiment_id=uuid.uuid4(), buckets=Range(99, 200))
    with pytest.raises(IntegrityError), transaction.atomic():
        LayerSlot.objects.create(layer=layer, experiment_id=uuid.uuid4(), buckets=Range(9_999, 10_001))


def test_delete_layer__in_use__is_refused_until_released(environment, layer):
    experiment = uuid.uuid4()
    services.reserve_range(layer, experiment, 100)
    with pytest.raises(Conflict, match=str(experiment)):
        services.delete_layer(actor=ALICE, environment=environment, key="checkout")
    services.release_range(layer, experiment)
    services.delete_layer(actor=ALICE, environment=environment, key="checkout")

    assert Entry.objects.get(action="layer.deleted").after is None
