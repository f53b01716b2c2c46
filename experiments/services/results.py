"""Storing results. The same window and the same data give the same row."""

import time
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from analytics import services as events
from analytics.selectors import Breakdown
from experiments.analysis import ComputedResults, Window, analyse, results_for, results_of
from experiments.analysis.metric_types import metric_type
from experiments.analysis.provenance import code_version, digest_of
from experiments.analysis.window import following_phase
from experiments.analysis.window_data import WindowData
from experiments.models import Experiment, ExperimentResult, Phase
from experiments.payloads import Instant, ResultHeader, Results, ResultWindow
from experiments.selectors import with_parts


def read_results(
    *,
    experiment: Experiment,
    window: str | None = None,
    phase: str | int | None = None,
    segment: str | None = None,
    now: datetime | None = None,
) -> Results:
    """The results that were asked for: computed now, or the stored row once they are final.

    `window` and `phase` as in `window_of`; `segment` is an attribute to break the primary metric down by. A final row
    that is not there yet is stored by its first reading. Raises Invalid, Conflict `not_started`, and Unavailable where
    it takes longer than RESULTS_SECONDS.
    """
    return results_for(experiment, window, phase=phase, segment=segment, now=now, final=_final_results)


def _final_results(experiment: Experiment, window: Window) -> Results:
    return results_of(final_result(experiment, window))


def final_result(experiment: Experiment, window: Window) -> ExperimentResult:
    """The stored row of a final window: whatever changes later, it is what was found."""
    rows = ExperimentResult.objects.filter(phase=window.phase, is_final=True).select_related("phase")
    row = rows.first()
    if row is None:
        store_results(experiment=experiment, window=window)
        row = rows.get()
    row.experiment = experiment
    return row


def store_results(*, experiment: Experiment, window: Window) -> tuple[ExperimentResult, ComputedResults]:
    """Compute and store a window's results. A stored row with the same digest, or a final one, stays as it is.

    Nothing is audited, because nothing changes that is served or decided.
    """
    began = time.monotonic()
    computed = analyse(experiment, window)
    digest = digest_of(computed.payload)
    same: dict[str, Any] = {"since": window.since, "until": window.until, "digest": digest}
    key: dict[str, Any] = {"is_final": True} if window.is_final else same
    with transaction.atomic():
        row, _ = ExperimentResult.objects.get_or_create(
            phase=window.phase,
            **key,
            defaults={
                **same,
                "experiment": experiment,
                "watermark": computed.watermark,
                "config_versions": computed.config_versions,
                "payload": _plain(computed),
                "code_version": code_version(),
                "computed_at": timezone.now(),
                "duration_ms": int((time.monotonic() - began) * 1000),
            },
        )
    return row, computed


def refresh_rollups(*, experiment: Experiment, window: Window) -> int:
    """Aggregate the days that are over, so that results need not read their users again; return how many were new."""
    data = WindowData(experiment, window)
    watched = [use.metric for use in data.plan.guardrails]
    wanted = [each for metric in data.plan.metrics.values() for each in metric_type(metric).aggregates(data)]
    measured = [data.plan.primary, *(use.metric for use in data.plan.secondary)]
    wanted += [metric_type(metric).pre_period_pairing(data) for metric in measured]
    # A guardrail asks besides how many users have an event at all.
    wanted += [metric_type(metric).conversion_pairing(data, window.until) for metric in watched]
    return sum(events.refresh_rollups(data.period(), each) for each in dict.fromkeys(wanted))


def refresh_breakdowns(*, experiment: Experiment, window: Window) -> int:
    """As `refresh_rollups`, for the experiment's `breakdowns`; it commits as it goes, unless within a transaction."""
    data = WindowData(experiment, window)
    pairing = metric_type(data.plan.primary).segment_pairing(data)
    if pairing is None:
        return 0
    found = [Breakdown(pairing, attribute) for attribute in experiment.breakdowns]
    return sum(events.refresh_rollups(data.period(), each) for each in found)


def recompute(row: ExperimentResult) -> bool:
    """Compute a stored result again from the events as they are now. Return whether every digit is the same.

    Digits differ where events of its time arrived after its watermark, or where the code (`code_version`) changed.
    """
    experiment = with_parts(Experiment.objects.filter(pk=row.experiment_id)).get()
    as_of = datetime.fromisoformat(row.payload["window"]["asOf"])
    phase = _as_of(row.phase, as_of)
    window = Window(phase, row.since, row.until, as_of, following=following_phase(phase, as_of))
    return digest_of(analyse(experiment, window).payload) == row.digest


def _as_of(phase: Phase, moment: datetime) -> Phase:
    """The phase as it was at that moment: without an end that came later."""
    if phase.ended_at is not None and phase.ended_at > moment:
        phase.ended_at = None
    return phase


def _plain(report: ComputedResults) -> Results:
    """Instants as the API writes them, so that a stored result reads like a computed one."""
    payload = report.payload
    window, header = payload["window"], payload["experiment"]
    plain_window: ResultWindow = {
        **window,
        "since": _text(window["since"]),
        "until": _text(window["until"]),
        "asOf": _text(window["asOf"]),
    }
    started_at, ended_at = header["startedAt"], header["endedAt"]
    plain_header: ResultHeader = {
        **header,
        "startedAt": None if started_at is None else _text(started_at),
        "endedAt": None if ended_at is None else _text(ended_at),
    }
    return {
        **payload,
        "experiment": plain_header,
        "window": plain_window,
        "watermark": report.watermark.isoformat() if report.watermark else None,
    }


def _text(instant: Instant) -> str:
    return instant if isinstance(instant, str) else instant.isoformat()
