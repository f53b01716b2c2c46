"""From events to numbers: who counts, what counts, and what is only reported."""

from datetime import UTC, datetime, timedelta

import pytest

from experiments.statistics.event_reference import (
    PhaseTotals,
    ReferenceConversion,
    ReferenceExposure,
    ReferencePhase,
    analyse_phase,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
PHASE = ReferencePhase(START, START + timedelta(days=14), ("control", "treatment"), (0.5, 0.5))


def _at(days: float) -> datetime:
    return START + timedelta(days=days)


def _seen(user: str, variant: str = "control", days: float = 0.0) -> ReferenceExposure:
    return ReferenceExposure(user, variant, _at(days))


def _event(user: str, days: float, value: float | None = 1.0, *, received: float | None = None) -> ReferenceConversion:
    arrival = _at(days if received is None else received)
    return ReferenceConversion(f"{user}@{days}", user, _at(days), value, arrival)


def _control(totals: PhaseTotals) -> tuple[int, int, float]:
    arm = totals.arms[0]
    return arm.n, arm.converted, arm.total


@pytest.mark.parametrize(
    ("days", "counted"), [(1.999, False), (2.0, True), (8.999, True), (9.0, False)], ids=["before", "t0", "in", "end"]
)
def test_window__event_time__counts_from_first_exposure_until_the_window_closes(days: float, counted: bool) -> None:
    totals = analyse_phase([_seen("u", days=2), _seen("u", days=5)], [_event("u", days)], PHASE)
    assert _control(totals) == (1, int(counted), float(counted))


def test_window__late_exposure__is_cut_at_the_freeze() -> None:
    long = ReferencePhase(PHASE.start, PHASE.end, PHASE.variants, PHASE.weights, window=timedelta(days=30))
    totals = analyse_phase([_seen("u", days=13)], [_event("u", 20.9), _event("u", 21.0)], long)
    assert _control(totals) == (1, 1, 1.0)


def test_late__received_after_the_freeze__is_left_out_and_counted() -> None:
    totals = analyse_phase([_seen("u")], [_event("u", 1, received=21), _event("u", 2, received=20.99)], PHASE)
    assert _control(totals) == (1, 1, 1.0)
    assert totals.n_late_events == 1


def test_event__repeated_id__counts_once() -> None:
    totals = analyse_phase([_seen("u")], [_event("u", 1, 5), _event("u", 1, 5, received=3)], PHASE)
    assert _control(totals) == (1, 1, 5.0)
    assert totals.n_repeated_events == 1


def test_event__without_a_value__converts_and_adds_nothing() -> None:
    assert _control(analyse_phase([_seen("u")], [_event("u", 1, None)], PHASE)) == (1, 1, 0.0)


def test_user__without_an_event__is_zero_not_missing() -> None:
    totals = analyse_phase([_seen("u"), _seen("v")], [_event("u", 1, 4)], PHASE)
    assert _control(totals) == (2, 1, 4.0)
    assert totals.arms[0].moments.variance == 8


@pytest.mark.parametrize(("days", "n"), [(-0.001, 0), (0, 1), (13.999, 1), (14, 0)])
def test_exposure__outside_the_phase__does_not_count(days: float, n: int) -> None:
    assert analyse_phase([_seen("u", days=days)], [], PHASE).arms[0].n == n


def test_bots__are_out__and_the_split_is_tested_before_and_after() -> None:
    exposures = [_seen(f"u{i}", ("control", "treatment")[i % 2]) for i in range(40)]
    exposures += [_seen(f"bot{i}") for i in range(30)]
    totals = analyse_phase(exposures, [_event("bot1", 1)], PHASE, frozenset(f"bot{i}" for i in range(99)))
    assert (totals.n_bots, _control(totals)) == (30, (20, 0, 0.0))
    assert totals.srm.p_value == 1
    assert totals.srm_with_bots.p_value is not None
    assert totals.srm_with_bots.p_value < 0.001


def test_crossover__is_out__and_kept_under_its_first_variant_as_a_check() -> None:
    exposures = [_seen("u", "treatment", 3), _seen("u", "control", 1), _seen("v"), _seen("w", "treatment")]
    totals = analyse_phase(exposures, [_event("u", 2, 7)], PHASE)
    assert [arm.n for arm in totals.arms] == [1, 1]
    assert [(arm.n, arm.total) for arm in totals.intention_to_treat] == [(2, 7.0), (1, 0.0)]
    assert (totals.crossovers.n, totals.crossovers.share) == (1, pytest.approx(1 / 3))
    assert totals.crossovers.is_warning
    assert totals.crossovers.first_variant.chi2 == 1


def test_crossover__in_another_phase__is_none() -> None:
    totals = analyse_phase([_seen("u", "treatment", -1), _seen("u", "control", 1)], [], PHASE)
    assert (totals.crossovers.n, totals.arms[0].n) == (0, 1)


def test_unknown_variant__is_out_and_counted() -> None:
    totals = analyse_phase([_seen("u", "retired"), _seen("v")], [], PHASE)
    assert (totals.n_unknown_variant, totals.arms[0].n) == (1, 1)


def test_complete_by__open_windows__are_left_out_of_decisions() -> None:
    exposures = [_seen("early", days=0), _seen("recent", days=5)]
    totals = analyse_phase(exposures, [_event("recent", 6)], PHASE, complete_by=_at(8))
    assert (_control(totals), totals.n_incomplete) == ((1, 0, 0.0), 1)


def test_nobody__is_none_with_a_reason() -> None:
    totals = analyse_phase([], [_event("ghost", 1)], PHASE)
    assert (totals.srm.p_value, totals.crossovers.share, totals.crossovers.is_warning) == (None, None, False)
    assert totals.srm.reason
    assert totals.arms[0].proportion.rate is None
