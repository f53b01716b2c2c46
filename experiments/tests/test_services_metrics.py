"""Metrics: what is stored, what is audited, what is refused."""

import pytest
from django.db import IntegrityError, transaction

from audit.models import Entry
from experiments import services
from experiments.models import Metric
from tenancy.errors import Conflict, Invalid, NotFound
from tenancy.testing import ALICE


def _codes(refused):
    return [(problem.attr, problem.code) for problem in refused.value.problems]


def test_create_metric__works(environment, make_metric):
    metric = make_metric("purchase-rate", goal="increase")

    assert (metric.type, metric.event_name, metric.window_hours, metric.version) == ("binary", "purchase", 24, 1)
    entry = Entry.objects.get(action="metric.created")
    assert (entry.entity_key, entry.project) == ("purchase-rate", "web")
    assert entry.after["eventName"] == "purchase"


def test_create_metric__same_again__is_what_is_there(environment, make_metric):
    first = make_metric("a")
    again, is_new = services.create_metric(
        actor=ALICE,
        environment=environment,
        payload={"key": "a", "type": "binary", "eventName": "purchase", "windowHours": 24},
    )

    assert (again.pk, is_new) == (first.pk, False)
    assert Entry.objects.filter(action="metric.created").count() == 1


def test_create_metric__same_key_other_content__is_refused(environment, make_metric):
    make_metric("a")
    with pytest.raises(Conflict) as refused:
        make_metric("a", eventName="refund")

    assert _codes(refused) == [("key", "key_exists")]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"type": "ratio"}, ("denominatorEventName", "required")),
        ({"type": "binary", "denominatorEventName": "view"}, ("denominatorEventName", "not_applicable")),
        ({"type": "quantile"}, ("quantile", "required")),
        ({"type": "quantile", "quantile": 1.0}, ("quantile", "required")),
        ({"type": "count", "quantile": 0.5}, ("quantile", "not_applicable")),
        ({"type": "count", "cap": 0.0}, ("cap", "out_of_range")),
        ({"type": "count", "colour": "red"}, ("colour", "unknown_field")),
    ],
)
def test_create_metric__makes_no_sense__is_refused_with_the_field(make_metric, payload, problem):
    with pytest.raises(Invalid) as refused:
        make_metric("a", **payload)

    assert _codes(refused) == [problem]
    assert not Metric.objects.exists()


def test_metric__quantile_without_a_level__is_refused_by_the_database(make_metric):
    make_metric("a")
    with pytest.raises(IntegrityError), transaction.atomic():
        Metric.objects.filter(key="a").update(type="quantile")


def test_update_metric__works(environment, make_metric):
    make_metric("a")
    metric = services.update_metric(
        actor=ALICE, environment=environment, key="a", payload={"name": "Purchases"}, version=1
    )

    assert (metric.name, metric.version) == ("Purchases", 2)
    assert Entry.objects.get(action="metric.updated").changes == [
        {"path": "name", "before": "a", "after": "Purchases"},
        {"path": "version", "before": 1, "after": 2},
    ]


def test_update_metric__stale_version__is_refused_with_the_current(environment, make_metric):
    make_metric("a")
    with pytest.raises(Conflict) as refused:
        services.update_metric(actor=ALICE, environment=environment, key="a", payload={"name": "x"}, version=7)

    assert _codes(refused) == [("version", "version_conflict")]
    assert refused.value.extra["current"]["version"] == 1


def test_delete_metric__works(environment, make_metric):
    make_metric("a")
    services.delete_metric(actor=ALICE, environment=environment, key="a")

    assert not Metric.objects.exists()
    assert Entry.objects.get(action="metric.deleted").before["key"] == "a"


def test_delete_metric__used_by_a_draft__is_refused_with_its_name(environment, make_experiment):
    make_experiment()
    with pytest.raises(Conflict, match="Checkout"):
        services.delete_metric(actor=ALICE, environment=environment, key="purchase-rate")


def test_update_metric__another_tenants__is_not_found(globex, make_metric):
    make_metric("a")
    with pytest.raises(NotFound):
        services.update_metric(actor=ALICE, environment=globex, key="a", payload={"name": "x"}, version=None)
