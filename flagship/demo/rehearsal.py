"""Four experiments with known truth, run by the real services on real events, to see what each is told.

They are a lift to ship, a loss of users that makes a lift worthless, a harmed guardrail, and no difference at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from django.utils import timezone
from openflagship.engine import CompiledEnvironment, Context
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from audit.actors import Actor
from experiments import services
from experiments.decisions.outcome import Act
from experiments.jobs import runs
from experiments.models import Alarm, Experiment
from experiments.selectors import get_experiment, latest_results
from flags.services import create_flag
from flags.versions.loading import load_document
from tenancy.models import Environment

CONTROL, TREATMENT = "control", "treatment"
DAYS: Final = 14
# A guardrail is judged with half of the users, and ten minutes after the last of them came.
_HALF_TIME = timedelta(days=DAYS / 2)
_CYCLE = timedelta(minutes=10)
_MARGIN_PERCENT = 40
_BATCH_EVENTS = 5_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """The truth: rates of purchase, of errors in the second half, and the share of treated users who are lost."""

    key: str
    truth: str
    purchase_rate: float
    error_rate: float
    lost_share: float
    expected_action: str
    expected_status: str


BASE_PURCHASE_RATE = 0.10
BASE_ERROR_RATE = 0.05
SCENARIOS: Final = (
    Scenario("rehearsal-lift", "4 points more purchases, no harm", 0.14, 0.05, 0.0, Act.SHIP, "running"),
    Scenario("rehearsal-split", "one treated user in eight is lost", 0.14, 0.15, 0.125, Act.DO_NOT_TRUST, "paused"),
    Scenario("rehearsal-harm", "4 points more purchases, three times the errors", 0.14, 0.15, 0.0, Act.STOP, "paused"),
    Scenario("rehearsal-null", "no difference", 0.10, 0.05, 0.0, Act.STOP, "running"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a scenario. `cycles` are the decisions at half time and at the end."""

    scenario: Scenario
    experiment: Experiment
    results: dict[str, Any]
    cycles: tuple[str, str]
    alarms: tuple[str, ...]

    @property
    def recommendation(self) -> dict[str, Any]:
        found: dict[str, Any] = self.results["recommendation"]
        return found

    @property
    def is_right(self) -> bool:
        expected = self.scenario
        shipped = TREATMENT if expected.expected_action == Act.SHIP else None
        told = (self.recommendation["action"], self.recommendation["variant"], self.experiment.status)
        return told == (expected.expected_action, shipped, expected.expected_status)


def rehearse(
    scenario: Scenario, *, actor: Actor, environment: Environment, users: int = 8_000, seed: int = 1
) -> Outcome:
    """Make the scenario's flag, metrics and experiment, store its users' events, and run the jobs.

    Everything is dated back, so that it ended at the last midnight. The same seed gives the same figures.
    """
    end = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS + 2)
    experiment = _start(scenario, actor, environment, users, start)
    document = load_document(environment.pk)
    if document is None:
        raise ValueError("the environment has no configuration")
    events = list(_events(scenario, experiment, CompiledEnvironment.from_document(document), users, seed, start))
    half, cycles = start + _HALF_TIME, []
    for since, until in ((start, half), (half, end + _CYCLE)):
        part = [event for event in events if since <= _moment(event.received_ms) < until]
        for first in range(0, len(part), _BATCH_EVENTS):
            store_events(_batch(part[first : first + _BATCH_EVENTS]))
        cycles.append(runs.watch(experiment.pk, now=min(until, end) + _CYCLE))
    runs.store_nightly(experiment.pk, now=end)
    stored = latest_results(experiment)
    if stored is None:
        raise ValueError("no result was stored")
    raised = Alarm.objects.filter(phase__experiment=experiment).order_by("pk")
    return Outcome(
        scenario,
        get_experiment(environment, experiment.pk),
        stored.payload,
        (cycles[0], cycles[1]),
        tuple(f"{alarm.kind}: {alarm.action}" for alarm in raised),
    )


def _start(scenario: Scenario, actor: Actor, environment: Environment, users: int, start: datetime) -> Experiment:
    for key, event_name, goal in (
        ("rehearsal-purchases", "rehearsal purchase", "increase"),
        ("rehearsal-errors", "rehearsal error", "decrease"),
    ):
        payload = {"key": key, "type": "binary", "eventName": event_name, "goal": goal, "windowHours": 24}
        services.create_metric(actor=actor, environment=environment, payload=payload)
    flag = {"key": scenario.key, "enabled": True, "rollout": [{"variant": TREATMENT, "percent": 50}]}
    create_flag(actor=actor, environment=environment, payload=flag)
    experiment = services.create_experiment(
        actor=actor,
        environment=environment,
        payload={
            "name": f"Rehearsal: {scenario.truth}"[:200],
            "flagKey": scenario.key,
            "controlVariant": CONTROL,
            "primaryMetric": "rehearsal-purchases",
            "guardrails": [{"metric": "rehearsal-errors", "marginPercent": _MARGIN_PERCENT, "action": "pause"}],
            "analysis": {"plannedUsers": int(users * (1 - scenario.lost_share))},
        },
    )
    return services.start_experiment(actor=actor, environment=environment, pk=experiment.pk, at=start)[0]


def _events(  # noqa: PLR0917 - a story's parts, in the order in which they are told
    scenario: Scenario, experiment: Experiment, compiled: CompiledEnvironment, users: int, seed: int, start: datetime
) -> Iterator[ExposureEvent | ConversionEvent]:
    """Yield events. The engine decides each user's variant; the acts are drawn at that variant's rates."""
    dice = np.random.default_rng(seed)
    arrivals = np.sort(dice.random(users)) * DAYS * 86_400_000
    luck = dice.random((users, 3))
    for number in range(users):
        user, seen_ms = f"{scenario.key}-{number}", int(start.timestamp() * 1000 + arrivals[number])
        answer = compiled.evaluate(scenario.key, Context(user))
        is_treated = answer.variant == TREATMENT
        if answer.variant is None or (is_treated and luck[number, 2] < scenario.lost_share):
            continue
        yield ExposureEvent(
            *(uuid7(seen_ms), experiment.environment_id, scenario.key, user, answer.variant, answer.reason, None),
            *(answer.experiment, answer.config_version, seen_ms, seen_ms, "rehearsal"),
        )
        is_harmed = is_treated and number >= users / 2
        for event_name, rate, drawn in (
            ("rehearsal purchase", scenario.purchase_rate if is_treated else BASE_PURCHASE_RATE, luck[number, 0]),
            ("rehearsal error", scenario.error_rate if is_harmed else BASE_ERROR_RATE, luck[number, 1]),
        ):
            if drawn < rate:
                did_ms = seen_ms + 60_000
                yield ConversionEvent(uuid7(did_ms), experiment.environment_id, user, event_name, None, did_ms, did_ms)


def _batch(events: list[ExposureEvent | ConversionEvent]) -> Batch:
    return Batch(
        [event for event in events if isinstance(event, ExposureEvent)],
        [event for event in events if isinstance(event, ConversionEvent)],
    )


def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)
