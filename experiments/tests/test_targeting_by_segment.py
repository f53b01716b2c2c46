"""A segment changed beneath a running experiment: another phase where it decides who takes part, and only there."""

import json

import pytest
from django.urls import reverse

from audit.models import Entry
from experiments.analysis import results_for
from experiments.models import Phase
from experiments.selectors import get_experiment
from flags.models import Segment
from flags.services import create_segment, update_flag, update_segment
from tenancy.admin.testing import signed_in
from tenancy.roles import Role
from tenancy.testing import ALICE

IN_BETA = {"operator": "in_segment", "value": ["beta"]}
PLAN = {"attribute": "plan", "operator": "equals", "value": "beta"}


@pytest.fixture
def segment(environment):
    """The segment `beta`, and `wider`, which asks for it."""
    for key, conditions in (("beta", {"all": [PLAN]}), ("wider", {"all": [IN_BETA]})):
        payload = {"key": key, "conditions": conditions}
        create_segment(actor=ALICE, environment=environment, payload=payload)


@pytest.fixture
def change(environment):
    def _change(key="beta", **payload):
        update_segment(actor=ALICE, environment=environment, key=key, payload=payload, version=None)

    return _change


def _ask(environment, segment):
    rule = {"priority": 1, "conditions": [{"operator": "in_segment", "value": [segment]}], "variant": "treatment"}
    update_flag(actor=ALICE, environment=environment, key="new-checkout", payload={"rules": [rule]}, version=None)


@pytest.mark.parametrize("asked", ["beta", "wider"])
@pytest.mark.parametrize("payload", [{"included": ["alice"]}, {"excluded": ["bob"]}, {"conditions": None}])
def test_segment_of_a_rule__changed__opens_a_phase(  # noqa: PLR0917 - fixtures and parameters
    segment, environment, flag, make_experiment, start, change, asked, payload
):
    _ask(environment, asked)
    experiment = start(make_experiment())
    change(**payload)

    first, second = Phase.objects.all()
    assert (first.ended_at, second.ended_at, second.salt) == (second.started_at, None, first.salt)
    environment.refresh_from_db()
    assert second.config_version == environment.config_version
    entry = Entry.objects.get(action="experiment.phase_opened")
    assert (entry.entity_key, entry.reason) == (
        experiment.key,
        "The segment beta changed, which decides who takes part.",
    )


def test_segment_of_the_audience__changed__opens_a_phase(segment, make_experiment, start, change):
    start(make_experiment(audience={"all": [IN_BETA]}))
    change(included=["alice"])

    assert [phase.number for phase in Phase.objects.all()] == [1, 2]


def test_segment__renamed_or_nobodys__opens_none(segment, environment, make_experiment, start, change):
    start(make_experiment(audience={"all": [IN_BETA]}))
    change(name="Early birds")
    change(conditions={"all": [PLAN]})
    change("wider", included=["alice"])

    assert Phase.objects.count() == 1


def test_segment__of_a_draft__opens_none(segment, make_experiment, change):
    make_experiment(audience={"all": [IN_BETA]})
    change(included=["alice"])

    assert not Phase.objects.exists()


def test_prerequisite__changed_by_itself__is_said(environment, flag, make_flag, make_experiment, start):
    make_flag("gate", rollout=[{"variant": "treatment", "percent": 50}])
    needs = [{"flagKey": "gate", "variants": ["treatment"]}]
    update_flag(
        actor=ALICE, environment=environment, key="new-checkout", payload={"prerequisites": needs}, version=None
    )
    experiment = start(make_experiment())
    assert not [text for text in _caveats(environment, experiment) if "prerequisite" in text]
    widened = {"rollout": [{"variant": "treatment", "percent": 100}]}
    update_flag(actor=ALICE, environment=environment, key="gate", payload=widened, version=None)

    environment.refresh_from_db()
    (said,) = [text for text in _caveats(environment, experiment) if "prerequisite" in text]
    assert said.startswith(f"The prerequisite gate changed in this phase (versions {environment.config_version})")
    assert Phase.objects.count() == 1


def _caveats(environment, experiment):
    return results_for(get_experiment(environment, experiment.pk))["caveats"]


@pytest.mark.parametrize("asked", ["beta", "wider"])
def test_segment_page__change_that_begins_a_phase__asks_first_with_what_it_costs(  # noqa: PLR0917 - fixtures
    segment, environment, flag, make_experiment, start, asked, person
):
    _ask(environment, asked)
    experiment = start(make_experiment())
    client = signed_in(person(Role.EDITOR, environment.project.organization, "eddie"))
    page = reverse("admin:flags_segment_change", args=[Segment.objects.get(key="beta").pk])
    sent = {"document": json.dumps({"included": ["alice"]}), "base": "{}", "version": 1}

    shown = client.post(
        f"{reverse('admin:flags_segment_preview')}?environment={environment.pk}", {**sent, "key": "beta"}
    )
    asked_first = client.post(page, sent)

    assert f"begins a phase of the experiment {experiment.name}" in shown.text
    assert f"begins a phase of the experiment {experiment.name}" in asked_first.text
    assert Phase.objects.count() == 1
    client.post(page, {**sent, "confirmed": asked_first.context["confirmed"]})
    assert Phase.objects.count() == 2
    renamed = {**sent, "document": json.dumps({"name": "Beta users"}), "version": 2}
    assert client.post(page, renamed).status_code == 302
    assert Phase.objects.count() == 2
