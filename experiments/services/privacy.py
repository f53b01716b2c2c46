"""A person in the audiences of experiments: a draft's is changed, that of a started one stays."""

from collections.abc import Iterator
from typing import Any

from audit.actors import Actor
from experiments.models import Experiment
from experiments.services.experiments import update_experiment
from flags.privacy import without
from tenancy.models import Environment
from tenancy.privacy.people import Found, Person

_REMAINS = "Results rest on the audience of an experiment that has started. Restart it with another audience first."


class AudiencesPlace:
    """Conditions of audiences that name the id."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for experiment in _naming(scope, person):
            yield {"place": "audiences", "experiment": experiment.key, "audience": experiment.audience}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:
        changed = remaining = 0
        for experiment in _naming(scope, person):
            if experiment.status == Experiment.Status.DRAFT:
                payload = {"audience": without(experiment.audience, person)}
                update_experiment(actor=actor, environment=scope, pk=experiment.pk, payload=payload, version=None)
                changed += 1
            else:
                remaining += 1
        return [Found("audiences", changed), *([Found("audiences", remaining, _REMAINS)] if remaining else [])]


def _naming(environment: Environment, person: Person) -> Iterator[Experiment]:
    for experiment in Experiment.objects.filter(environment=environment, audience__isnull=False).order_by("pk"):
        if without(experiment.audience, person) != experiment.audience:
            yield experiment
