"""Factories: a flag that serves 10 % treatment, a plan on it, and workers that look at an instant of the test's."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.models import Entry
from experiments import services as experiment_services
from experiments.models import Experiment
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import served_of
from rollouts import services
from rollouts.executor import plans as executor
from rollouts.models import RolloutPlan
from rollouts.selectors import get_plan
from tenancy.models import Environment
from tenancy.testing import ALICE

KEY = "new-checkout"
DAILY = [{"percent": 20}, {"percent": 50, "after": "P1D"}, {"percent": 100, "after": "P1D"}]


@pytest.fixture
def flag(make_flag: Callable[..., FlagConfig]) -> FlagConfig:
    return make_flag(KEY, rollout=[{"variant": "control", "percent": 90}, {"variant": "treatment", "percent": 10}])


@pytest.fixture
def start(environment: Environment) -> Callable[..., RolloutPlan]:
    """Save a plan on the flag and start it."""

    def _start(steps: list[dict[str, Any]] = DAILY, key: str = KEY, **payload: Any) -> RolloutPlan:
        content = {"variant": "treatment", "steps": steps, **payload}
        services.save_plan(actor=ALICE, environment=environment, key=key, payload=content)
        return services.start_plan(actor=ALICE, environment=environment, key=key)

    return _start


@pytest.fixture
def running_on(environment: Environment, flag: FlagConfig) -> Callable[[], Experiment]:
    """Start an experiment on the flag."""

    def _running() -> Experiment:
        metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
        experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
        content = {"name": "Checkout", "flagKey": KEY, "primaryMetric": "purchase-rate"}
        draft = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=content)
        started, _ = experiment_services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk)
        return started

    return _running


@pytest.fixture
def look(environment: Environment) -> Callable[..., RolloutPlan]:
    """Let a worker look, so long after the plan was started."""

    def _look(plan: RolloutPlan, **after: float) -> RolloutPlan:
        begun: datetime = plan.started_at  # type: ignore[assignment]  # it was started
        executor.run(begun + timedelta(**after))
        return get_plan(environment, KEY)

    return _look


@pytest.fixture
def share(environment: Environment) -> Callable[..., int]:
    """The buckets of a variant in the flag's own rollout now."""

    def _share(key: str = KEY, variant: str = "treatment") -> int:
        config = get_config(environment, key)
        served = served_of(config, [], None)
        return sum(end - begin for begin, end, name in (served.ranges if served else []) if name == variant)

    return _share


def events(*actions: str) -> list[Entry]:
    """The audit rows of these actions, the oldest first."""
    return list(Entry.objects.filter(action__in=actions).order_by("position"))
