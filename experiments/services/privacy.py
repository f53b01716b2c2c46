"""A person in the audiences of experiments: a draft's is changed, those of a started one's phases stay."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from audit.actors import Actor
from experiments.models import Experiment, Phase
from experiments.services.experiments import locked_experiment, update_experiment
from flags.privacy import without
from tenancy.errors import ServiceError
from tenancy.models import Environment
from tenancy.privacy.people import Found, Person

_REMAINS = "Results rest on the audiences of an experiment that has started, its earlier phases' too."


class AudiencesPlace:
    """Conditions of audiences that name the id."""

    is_per_environment = True

    def read(self, person: Person, scope: Environment) -> Iterator[dict[str, Any]]:
        for experiment, phases in _naming(scope, person):
            if _names(experiment.audience, person):
                yield {"place": "audiences", "experiment": experiment.key, "audience": experiment.audience}
            for phase in phases:
                at = {"experiment": experiment.key, "phase": phase.number}
                yield {"place": "audiences", **at, "audience": phase.audience}

    def erase(self, person: Person, scope: Environment, actor: Actor) -> list[Found]:
        changed = remaining = 0
        refused = []
        for experiment, _ in _naming(scope, person):
            try:
                if _erase_from_draft(actor, scope, experiment.pk, person):
                    changed += 1
                else:
                    remaining += 1
            except ServiceError as error:
                why = f"{experiment.key} in {scope.key}: {error.problems[0].detail}"
                refused.append(Found("audiences", 1, why))
        stays = [Found("audiences", remaining, _REMAINS)] if remaining else []
        return [Found("audiences", changed), *stays, *refused]


@transaction.atomic
def _erase_from_draft(actor: Actor, environment: Environment, pk: Any, person: Person) -> bool:
    """Return False for an experiment that has started. It is read under its writers' lock, as flags are."""
    experiment = locked_experiment(environment, pk)
    if experiment.status != Experiment.Status.DRAFT:
        return False
    payload = {"audience": without(experiment.audience, person)}
    update_experiment(actor=actor, environment=environment, pk=pk, payload=payload, version=None)
    return True


def _naming(environment: Environment, person: Person) -> Iterator[tuple[Experiment, list[Phase]]]:
    """Yield the experiments that name the id, each with its phases that do."""
    for experiment in Experiment.objects.filter(environment=environment).prefetch_related("phases").order_by("pk"):
        phases = [phase for phase in experiment.phases.all() if _names(phase.audience, person)]
        if phases or _names(experiment.audience, person):
            yield experiment, phases


def _names(audience: Any, person: Person) -> bool:
    return bool(without(audience, person) != audience)
