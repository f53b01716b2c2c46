"""A flag changed beneath its running experiment: what begins a phase, and what is only said."""

from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.event_records import Batch
from analytics.models import ExposurePhase
from analytics.services import store_events
from audit.models import Entry
from experiments import services
from experiments.analysis import results_for
from experiments.models import Phase
from experiments.selectors import get_experiment
from experiments.tests.conftest import START, exposure
from flags.models import FlagConfig
from flags.services import kill_flag, release_flag, update_flag
from tenancy.errors import Invalid
from tenancy.testing import ALICE

RULE = {
    "priority": 1,
    "name": "insiders",
    "conditions": [{"attribute": "plan", "operator": "equals", "value": "beta"}],
    "variant": "treatment",
}


@pytest.fixture
def change(environment):
    def _change(**payload):
        return update_flag(actor=ALICE, environment=environment, key="new-checkout", payload=payload, version=None)

    return _change


def test_targeting__changed__opens_a_phase_with_the_same_salt(running, environment, change):
    change(rules=[RULE])

    first, second = Phase.objects.all()
    assert (first.ended_at, second.ended_at, second.number) == (second.started_at, None, 2)
    assert second.salt == first.salt == FlagConfig.objects.get().salt
    assert second.weights == first.weights
    environment.refresh_from_db()
    assert second.config_version == environment.config_version
    opened = ExposurePhase.objects.filter(experiment=running.key).latest("started_at")
    assert opened.started_at == second.started_at
    entry = Entry.objects.get(action="experiment.phase_opened")
    assert (entry.before["phase"], entry.after["phase"], entry.reason) == (1, 2, "The flag's rules changed.")


def test_targeting__a_single_user_targeted_or_no_more__opens_none(running, change):
    change(targets=[{"variant": "treatment", "userIds": ["alice"]}])
    change(targets=[])

    assert Phase.objects.count() == 1


def test_targeting__changed__phases_are_analysed_apart(running, environment, change):
    store_events(Batch([exposure(running, "early", "control", START + timedelta(hours=1))], []))
    change(rules=[RULE])
    began = Phase.objects.get(number=2).started_at
    later = began + timedelta(hours=1)
    store_events(Batch([exposure(running, user, "treatment", later) for user in ("early", "late")], []))
    experiment = get_experiment(environment, running.pk)
    found = results_for(experiment, now=began + timedelta(days=1))

    assert found["window"]["phase"] == 2
    assert found["srm"]["observed"] == {"control": 0, "treatment": 2}
    before = results_for(experiment, f"{START.isoformat()}/{began.isoformat()}", now=began + timedelta(days=1))
    assert before["srm"]["observed"] == {"control": 1, "treatment": 0}
    assert len(before["configVersions"]) == 1


def test_targeting__same_content_again__stays_in_the_phase(running, change):
    change(rules=[RULE])
    (rule,) = FlagConfig.objects.get().rules.all()
    change(rules=[{**RULE, "id": str(rule.pk), "name": "friends", "priority": 7}])

    assert Phase.objects.count() == 2


def test_targeting__refused_change__leaves_the_phase(running, change):
    with pytest.raises(Invalid):
        change(rules=[{**RULE, "variant": "nobody"}])

    assert Phase.objects.get().ended_at is None


def test_targeting__changed_in_a_pause__goes_on_pausing(environment, running, change):
    services.pause_experiment(actor=ALICE, environment=environment, pk=running.pk)
    change(rules=[RULE])

    first, second = Phase.objects.all()
    assert first.pauses[-1][1] == second.started_at.isoformat()
    assert second.pauses == [[second.started_at.isoformat(), None]]


def test_targeting__without_an_experiment_or_of_a_draft__nothing_happens(make_experiment, change):
    make_experiment()
    change(rules=[RULE])

    assert not Phase.objects.exists()


def test_kill_and_off__are_no_phase_but_a_caveat(environment, running, change):
    kill_flag(actor=ALICE, environment=environment, key="new-checkout")
    release_flag(actor=ALICE, environment=environment, key="new-checkout")
    change(enabled=False)
    change(enabled=True)

    assert Phase.objects.count() == 1
    caveats = results_for(get_experiment(environment, running.pk), now=timezone.now())["caveats"]
    assert any("off or killed 2 times" in caveat for caveat in caveats)


def test_name_of_the_flag__changed__is_no_interruption(environment, running, change):
    change(description="Said better")

    caveats = results_for(get_experiment(environment, running.pk), now=timezone.now())["caveats"]
    assert not any("off or killed" in caveat for caveat in caveats)
    assert Phase.objects.count() == 1
