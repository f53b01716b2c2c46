"""Drafts and what may change later: state, audit row, the flag's document."""

import pytest
from django.db import IntegrityError, transaction

from audit.models import Entry
from experiments import services
from experiments.models import Experiment
from flags.models import Change
from tenancy.errors import Conflict, Invalid, NotFound
from tenancy.testing import ALICE


def _codes(refused):
    return [(problem.attr, problem.code) for problem in refused.value.problems]


def _update(environment, experiment, payload, **options):
    return services.update_experiment(
        actor=ALICE, environment=environment, pk=experiment.pk, payload=payload, version=None, **options
    )


def test_create_experiment__works(environment, make_experiment, make_metric):
    make_metric("errors", goal="decrease", eventName="error")
    experiment = make_experiment(
        hypothesis="Shorter sells more.",
        trafficPercent=12.5,
        secondaryMetrics=["errors"],
        guardrails=[{"metric": "errors", "marginPercent": 2, "action": "pause"}],
        analysis={"plannedUsers": 1000},
    )

    assert (experiment.status, experiment.control_variant, experiment.traffic_bp) == ("draft", "control", 1250)
    assert experiment.method == "obrien_fleming"
    assert [(use.role, use.metric.key) for use in experiment.metrics.all()] == [
        ("guardrail", "errors"),
        ("secondary", "errors"),
    ]
    entry = Entry.objects.get(action="experiment.created")
    assert entry.after["guardrails"] == [{"metric": "errors", "marginPercent": 2, "action": "pause"}]
    # Nothing is served before the start.
    assert not Change.objects.filter(document__experiment__isnull=False).exclude(document__experiment=None).exists()


def test_create_experiment__no_size_planned__is_always_valid(make_experiment):
    assert make_experiment().method == "always_valid"


def test_create_experiment__layer_salts__differ_between_experiments(make_experiment, environment):
    first, second = make_experiment(), make_experiment(name="Again")

    assert first.layer_salt != second.layer_salt
    assert first.layer_salt.startswith("layer:new-checkout:")
    assert str(first.pk) not in first.layer_salt


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"controlVariant": "blue"}, ("controlVariant", "unknown_variant")),
        ({"primaryMetric": "nothing"}, ("primaryMetric", "unknown_metric")),
        ({"secondaryMetrics": ["nothing"]}, ("secondaryMetrics[0]", "unknown_metric")),
        ({"trafficPercent": 0}, ("trafficPercent", "invalid_percent")),
        ({"trafficPercent": 10.001}, ("trafficPercent", "invalid_percent")),
        ({"layer": "checkout"}, ("layer", "unknown_layer")),
        ({"analysis": {"method": "pocock"}}, ("analysis.plannedUsers", "required")),
        ({"analysis": {"alpha": 1.0}}, ("analysis.alpha", "out_of_range")),
        ({"analysis": {"colour": 1}}, ("analysis.colour", "unknown_field")),
        ({"colour": 1}, ("colour", "unknown_field")),
        (
            {"guardrails": [{"metric": "purchase-rate", "marginPercent": 0}]},
            ("guardrails[0].marginPercent", "out_of_range"),
        ),
        ({"secondaryMetrics": ["purchase-rate"] * 2}, ("secondaryMetrics[1]", "duplicate")),
        ({"guardrails": [{"metric": "purchase-rate", "marginPercent": 1}] * 2}, ("guardrails[1].metric", "duplicate")),
    ],
)
def test_create_experiment__makes_no_sense__is_refused_with_the_field(make_experiment, payload, problem):
    with pytest.raises(Invalid) as refused:
        make_experiment(**payload)

    assert _codes(refused) == [problem]
    assert not Experiment.objects.exists()


def test_create_experiment__audience_with_a_bad_condition__is_refused_with_its_path(make_experiment):
    with pytest.raises(Invalid) as refused:
        make_experiment(audience={"all": [{"attribute": "plan", "operator": "matches", "value": "("}]})

    (problem,) = refused.value.problems
    assert problem.attr.startswith("audience.all[0]")


def test_create_experiment__unknown_flag__is_not_found(make_experiment):
    with pytest.raises(NotFound):
        make_experiment(flagKey="nothing")


def test_update_experiment__draft__works(environment, make_experiment):
    experiment = make_experiment()
    updated = _update(environment, experiment, {"name": "Renamed", "trafficPercent": 20})

    assert (updated.name, updated.traffic_bp, updated.version) == ("Renamed", 2000, 2)
    changed = {change["path"] for change in Entry.objects.get(action="experiment.updated").changes}
    assert {"name", "trafficPercent", "version"} <= changed


def test_update_experiment__whole__returns_what_is_not_named_to_its_default(environment, make_experiment):
    experiment = make_experiment(hypothesis="Because.", trafficPercent=20)
    updated = _update(environment, experiment, {"name": "A", "primaryMetric": "purchase-rate"}, is_partial=False)

    assert (updated.hypothesis, updated.traffic_bp) == ("", 10_000)


def test_update_experiment__stale_version__is_refused(environment, make_experiment):
    experiment = make_experiment()
    with pytest.raises(Conflict) as refused:
        services.update_experiment(
            actor=ALICE, environment=environment, pk=experiment.pk, payload={"name": "x"}, version=9
        )

    assert _codes(refused) == [("version", "version_conflict")]


def test_update_experiment__running__traffic_grows_in_the_document(environment, make_experiment, start):
    experiment = start(make_experiment(trafficPercent=10))
    _update(environment, experiment, {"trafficPercent": 20})

    last = Change.objects.filter(environment=environment).latest("version")
    assert last.document["experiment"]["ranges"] == [[0, 2000]]


@pytest.mark.parametrize(
    "payload",
    [
        {"trafficPercent": 5},
        {"controlVariant": "treatment"},
        {"audience": {"all": []}},
        {"analysis": {"alpha": 0.1}},
        {"guardrails": [{"metric": "purchase-rate", "marginPercent": 1, "action": "pause"}]},
    ],
)
def test_update_experiment__running__what_figures_rest_on__is_refused(environment, make_experiment, start, payload):
    experiment = start(make_experiment(trafficPercent=10))
    with pytest.raises(Conflict) as refused:
        _update(environment, experiment, payload)

    assert _codes(refused)[0][1] == "rollout_conflict"
    assert Experiment.objects.get().version == experiment.version


def test_delete_experiment__draft__works(environment, make_experiment):
    experiment = make_experiment()
    services.delete_experiment(actor=ALICE, environment=environment, pk=experiment.pk)

    assert not Experiment.objects.exists()
    assert Entry.objects.get(action="experiment.deleted").entity_key == str(experiment.pk)


def test_delete_experiment__has_run__is_refused(environment, running):
    with pytest.raises(Conflict):
        services.delete_experiment(actor=ALICE, environment=environment, pk=running.pk)


def test_experiment__second_one_served_on_a_flag__is_refused_by_the_database(make_experiment, running):
    Experiment.objects.filter(pk=running.pk).update(status="paused")
    other = make_experiment(name="Another")
    with pytest.raises(IntegrityError, match="experiment_one_at_a_time"), transaction.atomic():
        Experiment.objects.filter(pk=other.pk).update(status="running", started_at=running.started_at)


def test_create_experiment__on_a_flag_with_several_units__is_refused(environment, make_flag, make_experiment):
    make_flag("listed", bucketBy=["deviceId", "userId"])

    with pytest.raises(Invalid) as refused:
        make_experiment(flagKey="listed")

    (problem,) = refused.value.problems
    assert (problem.attr, problem.code) == ("flagKey", "one_unit_for_experiments")
