"""The chart of exposures on a flag's page, from the hourly counts."""

import pytest

from analytics.stores.base import FlagExposures
from flags import services
from flags.admin.flag import exposures
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    return services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]


def counts_since(monkeypatch, *counts):
    """What the seven questions find, from the oldest day's to today's."""
    answers = iter(counts)
    monkeypatch.setattr(
        exposures.events, "flag_exposures", lambda *_: {"control": FlagExposures(exposures=next(answers), users=1)}
    )


def test_chart__each_day__has_its_count_over_the_next_days(config, monkeypatch):
    counts_since(monkeypatch, 10, 10, 7, 7, 7, 4, 4)
    assert exposures.exposures_chart(config)["series"][0]["values"] == [0, 3, 0, 0, 3, 0, 4]


def test_chart__exposures_arriving_between_the_questions__leave_no_day_with_less_than_nobody(config, monkeypatch):
    counts_since(monkeypatch, 1, 1, 1, 2, 2, 2, 3)
    assert exposures.exposures_chart(config)["series"][0]["values"] == [0, 0, 0, 0, 0, 0, 3]


def test_chart__nobody_got_the_flag__is_none(config):
    assert exposures.exposures_chart(config) is None
