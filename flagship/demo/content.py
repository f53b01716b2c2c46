"""The content of the demo, made by the same services as everybody's. What exists already is left alone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone
from openflagship.engine import Context

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from analytics.stores.base import Stored
from audit.actors import Actor
from experiments.jobs.runs import store_nightly, watch
from experiments.models import Experiment, ExperimentResult, Metric, Phase
from experiments.services import create_experiment, create_metric, start_experiment
from flags.models import FlagConfig
from flags.propagation.runtime import load_environment
from flags.services import create_flag
from flagship.demo.plan import USERS_BY_DAY, visits
from tenancy.models import Environment, Organization, Project
from tenancy.services import create_environment, create_organization, create_project

ORGANIZATION, PROJECT, ENVIRONMENT = "acme", "web", "production"
FLAG = "new-checkout"
EVENT = "purchase"
EXPERIMENT_NAME = "New checkout sells more"
TESTERS = ["tester-anna", "tester-ben", "tester-chris"]

FLAGS = (
    {
        "key": FLAG,
        "name": "New checkout",
        "description": "One page instead of three steps.",
        "type": "boolean",
        "tags": ["checkout"],
        "enabled": True,
        "rules": [
            {
                "priority": 10,
                "name": "Internal testers",
                "variant": "treatment",
                "conditions": [{"attribute": "userId", "operator": "in", "value": TESTERS}],
            }
        ],
        "rollout": [{"variant": "treatment", "percent": 50}],
    },
    {
        "key": "dark-mode",
        "name": "Dark mode",
        "description": "Colours that follow the device.",
        "type": "boolean",
        "tags": ["look"],
        "enabled": True,
        "rollout": [{"variant": "treatment", "percent": 100}],
    },
)
METRICS = (
    {"key": "purchase-rate", "name": "Purchase within a day", "type": "binary", "eventName": EVENT, "windowHours": 24},
    {"key": "revenue", "name": "Revenue per user", "type": "continuous", "eventName": EVENT, "windowHours": 24},
)
EXPERIMENT = {
    "name": EXPERIMENT_NAME,
    "hypothesis": "With one page instead of three steps more visitors complete their purchase.",
    "flagKey": FLAG,
    "controlVariant": "control",
    "trafficPercent": 100,
    "allocation": [{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}],
    "primaryMetric": "purchase-rate",
    "secondaryMetrics": ["revenue"],
    "analysis": {"method": "obrien_fleming", "plannedUsers": 2_000},
}


def ensure_environments(actor: Actor) -> Environment:
    """Return the production environment. The organization, the project and staging are made with it."""
    organization = Organization.objects.filter(slug=ORGANIZATION).first()
    if organization is None:
        organization = create_organization(actor=actor, slug=ORGANIZATION, name="Acme")
    project = Project.objects.filter(organization=organization, key=PROJECT).first()
    if project is None:
        project = create_project(actor=actor, organization=organization, key=PROJECT, name="Web shop")
    found = {}
    for key, name, is_production in ((ENVIRONMENT, "Production", True), ("staging", "Staging", False)):
        environment = Environment.objects.filter(project=project, key=key).first()
        if environment is None:
            environment = create_environment(
                actor=actor, project=project, key=key, name=name, is_production=is_production
            )
        found[key] = environment
    return Environment.objects.select_related("project__organization").get(pk=found[ENVIRONMENT].pk)


def ensure_flags_and_metrics(actor: Actor, environment: Environment) -> None:
    for flag in FLAGS:
        if not FlagConfig.objects.filter(environment=environment, flag__key=flag["key"]).exists():
            create_flag(actor=actor, environment=environment, payload=flag)
    for metric in METRICS:
        if not Metric.objects.filter(project=environment.project, key=metric["key"]).exists():
            create_metric(actor=actor, environment=environment, payload=metric)


@transaction.atomic
def ensure_experiment(actor: Actor, environment: Environment) -> Experiment:
    """Return the running experiment, as if it began with the last seven complete days."""
    existing = Experiment.objects.filter(environment=environment, config__flag__key=FLAG, name=EXPERIMENT_NAME).first()
    if existing is not None:
        return existing
    today = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    draft = create_experiment(actor=actor, environment=environment, payload=EXPERIMENT)
    experiment, _ = start_experiment(
        actor=actor, environment=environment, pk=draft.pk, at=today - timedelta(days=len(USERS_BY_DAY))
    )
    return experiment


def ensure_events(environment: Environment, experiment: Experiment) -> Stored:
    """Store the visits of the experiment's first phase. Their ids are fixed, so a second time stores nothing.

    After a restart has reshuffled the users, their old visits stay as they are.
    """
    phase = Phase.objects.get(experiment=experiment, number=1)
    if phase.ended_at is not None:
        return Stored(0, 0)
    batch = Batch([], [])
    for visit in visits(phase.started_at, _assigned(environment, experiment)):
        batch.exposures.append(
            ExposureEvent(
                evaluation_id=visit.evaluation_id,
                environment_id=environment.pk,
                flag_key=FLAG,
                unit_id=visit.user_id,
                variant=visit.variant,
                reason="EXPERIMENT",
                rule_id=None,
                experiment=experiment.key,
                config_version=phase.config_version,
                occurred_ms=_ms(visit.seen_at),
                received_ms=_ms(visit.seen_at) + 150,
                source="demo",
                attributes=json.dumps(visit.attributes),
            )
        )
        if visit.purchase_id is not None and visit.bought_at is not None:
            batch.conversions.append(
                ConversionEvent(
                    event_id=visit.purchase_id,
                    environment_id=environment.pk,
                    unit_id=visit.user_id,
                    event_name=EVENT,
                    value=visit.amount,
                    occurred_ms=_ms(visit.bought_at),
                    received_ms=_ms(visit.bought_at) + 150,
                )
            )
    return store_events(batch)


def ensure_results(experiment: Experiment) -> None:
    """Store the results that the nightly job would have stored after each of the seven days."""
    phase = Phase.objects.get(experiment=experiment, number=1)
    if phase.ended_at is not None or ExperimentResult.objects.filter(experiment=experiment).exists():
        return
    for day in range(1, len(USERS_BY_DAY) + 1):
        store_nightly(experiment.pk, now=phase.started_at + timedelta(days=day))
    # The scheduler has had no time to run these jobs. The home page would show them as overdue.
    watch(experiment.pk)


def _assigned(environment: Environment, experiment: Experiment) -> Callable[[str], str | None]:
    engine = load_environment(environment.pk)

    def assigned(user_id: str) -> str | None:
        answer = engine.evaluate(FLAG, Context(user_id, {})) if engine else None
        return answer.variant if answer is not None and answer.experiment == experiment.key else None

    return assigned


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
