"""Factories: a metric, an experiment (draft or running), and events through the real store."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openflagship.ids import uuid7

from analytics.event_records import Batch, ConversionEvent, ExposureEvent
from analytics.services import store_events
from experiments import services
from experiments.models import Experiment, Metric
from flags.models import FlagConfig
from tenancy.models import Environment
from tenancy.testing import ALICE

# A Monday, far enough from now that every conversion window of a day is complete.
START = datetime(2026, 3, 2, tzinfo=UTC)
HALF = [{"variant": "treatment", "percent": 50}]


@pytest.fixture
def flag(make_flag: Callable[..., FlagConfig]) -> FlagConfig:
    return make_flag("new-checkout", rollout=HALF)


@pytest.fixture
def make_metric(environment: Environment) -> Callable[..., Metric]:
    def _make(key: str = "purchase-rate", **payload: Any) -> Metric:
        content = {"key": key, "type": "binary", "eventName": "purchase", "windowHours": 24, **payload}
        metric, _ = services.create_metric(actor=ALICE, environment=environment, payload=content)
        return metric

    return _make


@pytest.fixture
def make_experiment(
    environment: Environment, flag: FlagConfig, make_metric: Callable[..., Metric]
) -> Callable[..., Experiment]:
    """Create a draft on `new-checkout` with the metric `purchase-rate`."""

    def _make(**payload: Any) -> Experiment:
        make_metric()
        content = {"name": "Checkout", "flagKey": flag.flag.key, "primaryMetric": "purchase-rate", **payload}
        return services.create_experiment(actor=ALICE, environment=environment, payload=content)

    return _make


@pytest.fixture
def start(environment: Environment) -> Callable[..., Experiment]:
    def _start(experiment: Experiment, at: datetime | None = None) -> Experiment:
        started, _ = services.start_experiment(actor=ALICE, environment=environment, pk=experiment.pk, at=at)
        return started

    return _start


@pytest.fixture
def running(make_experiment: Callable[..., Experiment], start: Callable[..., Experiment]) -> Experiment:
    """An experiment that runs since START."""
    return start(make_experiment(), at=START)


@pytest.fixture
def expose() -> Callable[..., None]:
    """Store users with their first exposure, and the conversions of the first `converted` of each variant."""

    def _expose(
        experiment: Experiment,
        counts: Mapping[str, int],
        *,
        converted: Mapping[str, int] | None = None,
        at: datetime = START + timedelta(hours=12),
        prefix: str = "user",
        event_name: str = "purchase",
        value: float | None = None,
    ) -> None:
        exposures, conversions = [], []
        for variant, count in counts.items():
            for number in range(count):
                unit = f"{prefix}-{variant}-{number}"
                exposures.append(exposure(experiment, unit, variant, at))
                if number < (converted or {}).get(variant, 0):
                    conversions.append(
                        conversion(experiment, unit, at + timedelta(minutes=5), event_name=event_name, value=value)
                    )
        store_events(Batch(exposures, conversions))

    return _expose


def exposure(
    experiment: Experiment, unit: str, variant: str, at: datetime, attributes: str | None = None
) -> ExposureEvent:
    moment = int(at.timestamp() * 1000)
    return ExposureEvent(
        evaluation_id=uuid7(moment),
        environment_id=experiment.environment_id,
        flag_key="new-checkout",
        unit_id=unit,
        variant=variant,
        reason="EXPERIMENT",
        rule_id=None,
        experiment=experiment.key,
        config_version=1,
        occurred_ms=moment,
        received_ms=moment,
        source="test",
        attributes=attributes,
    )


def conversion(
    experiment: Experiment,
    unit: str,
    at: datetime,
    *,
    event_name: str = "purchase",
    value: float | None = None,
    properties: str | None = None,
) -> ConversionEvent:
    moment = int(at.timestamp() * 1000)
    return ConversionEvent(
        event_id=uuid7(moment),
        environment_id=experiment.environment_id,
        unit_id=unit,
        event_name=event_name,
        value=value,
        occurred_ms=moment,
        received_ms=moment,
        properties=properties,
    )
