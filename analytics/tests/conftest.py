"""An organization with two environments, a neighbour, and short ways to make events."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from openflagship.ids import uuid7

from analytics import selectors
from analytics.event_records import ConversionEvent, ExposureEvent
from analytics.stores.base import Period
from analytics.stores.protocols import EventStore
from analytics.testing import STORES, UseStore
from audit.actors import system
from tenancy import services as tenancy
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Environment

ACTOR = system("tests")
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=10)


@pytest.fixture
def environment(db: None) -> Environment:
    organization = tenancy.create_organization(actor=ACTOR, slug="acme", name="Acme")
    project = tenancy.create_project(actor=ACTOR, organization=organization, key="shop", name="Shop")
    return tenancy.create_environment(actor=ACTOR, project=project, key="production", name="Production")


@pytest.fixture
def other_environment(db: None) -> Environment:
    organization = tenancy.create_organization(actor=ACTOR, slug="rival", name="Rival")
    project = tenancy.create_project(actor=ACTOR, organization=organization, key="shop", name="Shop")
    return tenancy.create_environment(actor=ACTOR, project=project, key="production", name="Production")


@pytest.fixture(params=STORES)
def any_store(request: pytest.FixtureRequest, use_store: UseStore) -> EventStore:
    """The test runs on each implementation: what holds of one holds of the other, to the digit."""
    return use_store(request.param)


class Api:
    """Posts JSON with a server key of one environment."""

    def __init__(self, environment: Environment) -> None:
        issued = tenancy.issue_credential(
            actor=ACTOR,
            kind="server",
            name="tests",
            organization=environment.project.organization,
            environment=environment,
        )
        KEYRING.refresh()
        self.headers = {"Authorization": f"Bearer {issued.secret}"}
        self._client = Client(raise_request_exception=False)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self._client.post(
            f"/api/{path}", body, content_type="application/json", headers={**self.headers, **headers}
        )


@pytest.fixture
def api(environment: Environment) -> Api:
    return Api(environment)


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def exposure(environment_id: int, unit_id: str, variant: str, at: datetime = NOON, **changes: Any) -> ExposureEvent:
    fields = {
        "evaluation_id": uuid7(milliseconds(at)),
        "environment_id": environment_id,
        "flag_key": "new-checkout",
        "unit_id": unit_id,
        "variant": variant,
        "reason": "SPLIT",
        "rule_id": None,
        "experiment": "checkout-test",
        "config_version": 1,
        "occurred_ms": milliseconds(at),
        "received_ms": milliseconds(at),
        "source": "api",
    }
    return ExposureEvent(**{**fields, **changes})


def conversion(environment_id: int, unit_id: str, at: datetime, **changes: Any) -> ConversionEvent:
    fields = {
        "event_id": uuid7(milliseconds(at)),
        "environment_id": environment_id,
        "unit_id": unit_id,
        "event_name": "purchase",
        "value": None,
        "occurred_ms": milliseconds(at),
        "received_ms": milliseconds(at),
    }
    return ConversionEvent(**{**fields, **changes})


def week_partition_of(event_id: UUID) -> str:
    from analytics.stores.postgres.partitions import Week, weeks_of  # noqa: PLC0415 - only the tests of partitions need it

    (number,) = weeks_of([event_id])
    return Week(number).name("exposures")


def converted(
    environment_id: int,
    since: datetime,
    until: datetime | None,
    *,
    window: timedelta = timedelta(days=7),
    grace: timedelta = selectors.GRACE,
    pauses: selectors.Pauses = (),
) -> dict[str, tuple[int, int, int]]:
    """By variant: units, those that purchased, and events that came late."""
    rates = selectors.Pairing(selectors.Figure(selectors.Kind.CONVERTED, "purchase"), None, window, grace)
    found = selectors.pair_summary(Period(environment_id, "checkout-test", since, until, pauses), rates)
    return {variant: (one.n, round(one.sum_y), one.late) for variant, one in found.items()}


def purchases(
    environment_id: int, since: datetime, until: datetime | None, *, window: timedelta = timedelta(days=7)
) -> dict[str, tuple[int, float, float, int, float]]:
    """By variant: units; the sum and sum of squares of their totals, and of their numbers of purchases."""
    total, count = (selectors.Figure(kind, "purchase") for kind in (selectors.Kind.TOTAL, selectors.Kind.COUNT))
    asked = selectors.Pairing(total, count, window, selectors.GRACE)
    found = selectors.pair_summary(Period(environment_id, "checkout-test", since, until), asked)
    return {
        variant: (
            *(one.n, one.sum_y, one.m2_y + one.n * one.mean_y**2),
            *(round(one.n * one.mean_x), one.m2_x + one.n * one.mean_x**2),
        )
        for variant, one in found.items()
    }
