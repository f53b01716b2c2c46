"""A person in the audiences of an experiment's phases."""

from audit.actors import system
from experiments import services
from experiments.services.privacy import AudiencesPlace
from tenancy.privacy.people import Person
from tenancy.testing import ALICE

ANN = Person("userId", "ann")
NAMES = {"all": [{"attribute": "userId", "operator": "in", "value": ["ann", "bob"]}]}
OTHERS = {"all": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}


def test_audiences__of_an_earlier_phase__is_handed_out_and_named_as_what_stays(environment, make_experiment, start):
    experiment = start(make_experiment(audience=NAMES))
    services.restart_experiment(actor=ALICE, environment=environment, pk=experiment.pk, changes={"audience": OTHERS})

    (line,) = AudiencesPlace().read(ANN, environment)
    assert line == {"place": "audiences", "experiment": experiment.key, "phase": 1, "audience": NAMES}
    changed, stays = AudiencesPlace().erase(ANN, environment, system("privacy"))
    assert (changed.count, stays.count, "phases" in stays.remains) == (0, 1, True)
