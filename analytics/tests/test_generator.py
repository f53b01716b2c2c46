"""Generated loads: reproducible, and their truth is what the analysis finds."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics import selectors
from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import ConversionEvent, ExposureEvent
from analytics.models import Exposure as ExposureRow
from analytics.pipeline.brokers import broker
from analytics.services import store_events
from analytics.stores.protocols import EventStore
from analytics.tests.conftest import converted, purchases
from tenancy.models import Environment

START = default_start(14)
WEEK = timedelta(days=7)


def _generator(**changes: Any) -> Generator:
    fields: dict[str, Any] = {"environment_id": 7, "users": 1500, "events": 8000, "seed": 3, "start": START}
    return Generator(Plan(**{**fields, **changes}))


def _events(generator: Generator) -> list[ExposureEvent | ConversionEvent]:
    return [event for batch in generator.batches() for event in [*batch.exposures, *batch.conversions]]


def test_load__same_seed__is_the_same() -> None:
    assert _events(_generator()) == _events(_generator())
    assert _events(_generator()) != _events(_generator(seed=4))


def test_load__has_what_was_asked_for() -> None:
    generator = _generator(late_share=0.05)
    events = _events(generator)
    truth = generator.truth
    assert len(events) == truth.exposures + truth.conversion_events + truth.duplicates
    assert truth.exposures + truth.conversion_events == pytest.approx(8000, rel=0.1)
    assert truth.duplicates == pytest.approx(800, rel=0.1)
    assert truth.bots > 0
    assert truth.crossovers > 0
    assert sum(truth.late.values()) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_truth__is_what_the_analysis_finds(seed: int, any_store: EventStore) -> None:
    generator = _generator(seed=seed, late_share=0.1)
    for batch in generator.batches():
        store_events(batch)
    truth, end = generator.truth, START + timedelta(days=14)
    summary = selectors.exposure_summary(selectors.Period(7, "checkout-test", START, end))
    assert summary.users == dict(truth.users)
    assert dict(summary.daily) == {day: dict(counts) for day, counts in truth.daily.items()}
    assert (summary.crossovers, summary.bots) == (truth.crossovers, truth.bots)
    binary = converted(7, START, end)
    assert {variant: count for variant, (_, count, _) in binary.items()} == dict(truth.converted)
    assert {variant: late for variant, (*_, late) in binary.items()} == dict(truth.late)
    values = purchases(7, START, end)
    assert {variant: found[3] for variant, found in values.items()} == dict(truth.counts)
    assert {variant: found[1] for variant, found in values.items()} == pytest.approx(dict(truth.totals))
    flag = selectors.flag_exposures(7, "new-checkout", None, None)
    assert {variant: found.exposures for variant, found in flag.items()} == dict(truth.flag_exposures)


@pytest.mark.django_db
@pytest.mark.parametrize("to", ["stream", "store"])
def test_command__prints_the_truth_and_sends_the_events(
    environment: Environment, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command(
        *("generate_events", "--users=200", "--events=1000", f"--to={to}"),
        "--environment=acme/shop/production",
    )
    truth = json.loads(capsys.readouterr().out)
    stored = ExposureRow.objects.filter(environment_id=environment.pk).count()
    assert stored == (truth["exposures"] if to == "store" else 0)
    assert (broker().length() > 0) == (to == "stream")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["acme", "acme/shop/nowhere"])
def test_command__environment_that_is_not_there__is_refused(environment: Environment, path: str) -> None:
    with pytest.raises(CommandError):
        call_command("generate_events", "--environment", path)
