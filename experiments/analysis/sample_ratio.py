"""Tests of the sample ratio: over the whole window, by day, and sequentially."""

import math
from dataclasses import dataclass
from datetime import date

from analytics.selectors import ExposureSummary
from experiments.analysis.window import Window
from experiments.decisions.evidence import DataCheck
from experiments.payloads import CrossoverShare, DailyRatio, RatioResult
from experiments.statistics.srm import (
    CROSSOVER_WARNING_SHARE,
    DAILY_ALPHA,
    EVIDENCE_LIMIT,
    GATE_ALPHA,
    srm_monitor,
    srm_test,
)

_PLANNED_DAYS = 14
# An arm without users is a fault of the data once this many are expected: a chance below one in 10^8.
_SILENT_BELOW = 20


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """`payload` is the API's; the recommendation and the jobs read the rest."""

    payload: RatioResult
    is_warning: bool
    is_alarming: bool
    flagged_days: tuple[date, ...]
    caveats: tuple[str, ...]
    checks: tuple[DataCheck, ...]


def sample_ratio(window: Window, exposures: ExposureSummary) -> SampleRatio:
    """Test the first exposures against the phase's weights. A day that is not over is shown and not tested."""
    weights = window.phase.weights
    variants = list(weights)
    shares = [float(weights[key]) for key in variants]
    counts = [exposures.users.get(key, 0) for key in variants]
    overall = srm_test(counts, shares)
    users = sum(count for count, share in zip(counts, shares, strict=True) if share)
    total = sum(shares)
    ended = window.complete_days_until.date()
    complete = [(day, row) for day, row in exposures.daily if day < ended]
    monitor = srm_monitor([[row.get(key, 0) for key in variants] for _, row in complete], shares, _PLANNED_DAYS)
    daily: list[DailyRatio] = []
    flagged: list[date] = []
    for position, (day, row) in enumerate(exposures.daily):
        is_complete = position < len(complete)
        adjusted = monitor.daily.p_days_holm[position] if is_complete else None
        is_flagged = adjusted is not None and adjusted < DAILY_ALPHA
        if is_flagged:
            flagged.append(day)
        daily.append(
            {
                "date": day.isoformat(),
                "observed": {key: row.get(key, 0) for key in variants},
                "pValue": monitor.daily.p_days[position] if is_complete else None,
                "adjustedPValue": adjusted,
                "warning": is_flagged,
                "complete": is_complete,
            }
        )
    is_warning = overall.p_value is not None and overall.p_value < GATE_ALPHA
    payload: RatioResult = {
        "chiSquare": overall.chi2,
        "degreesOfFreedom": overall.df,
        "pValue": overall.p_value,
        "warning": is_warning,
        "alarm": monitor.is_alarming,
        "expected": {key: users * share / total for key, share in zip(variants, shares, strict=True)},
        "observed": dict(zip(variants, counts, strict=True)),
        "unexpectedUsers": int(overall.unexpected_users),
        "daily": daily,
        "sequential": {
            "pValue": monitor.sequential.p_values[-1] if monitor.sequential.p_values else None,
            "logEvidence": monitor.sequential.log_bf[-1] if monitor.sequential.log_bf else None,
            "logLimit": math.log(EVIDENCE_LIMIT),
        },
        "crossovers": _crossovers(exposures, users, variants, shares),
    }
    first = monitor.first_evidence_day
    return SampleRatio(
        payload,
        is_warning,
        monitor.is_alarming,
        tuple(flagged),
        _caveats(exposures, overall.reason, users, payload),
        _checks(window, payload, None if first is None else complete[first][0]),
    )


def _checks(window: Window, payload: RatioResult, evidence_day: date | None) -> tuple[DataCheck, ...]:
    """While the experiment runs, the sequential check alone blocks; the overall test does once the figures freeze."""
    checks = []
    observed, expected = payload["observed"], payload["expected"]
    counts = f"{_ratio(list(observed.values()))} users where the split gives {_ratio(list(expected.values()))}"
    p_value = payload["pValue"]
    if evidence_day is not None:
        text = f"Sample ratio: {counts}. The sequential check passed its limit on {evidence_day.isoformat()}."
        checks.append(DataCheck("sample_ratio", text))
    elif payload["warning"] and window.is_frozen:
        checks.append(DataCheck("sample_ratio", f"Sample ratio: {counts}, over the whole phase (p = {p_value:.2g})."))
    elif payload["warning"]:
        text = f"The overall sample ratio has p = {p_value:.2g}. The sequential check, which decides, is quiet."
        checks.append(DataCheck("sample_ratio", text, is_blocking=False))
    for day in payload["daily"]:
        if day["warning"]:
            text = f"On {day['date']} users arrived as {_ratio(list(day['observed'].values()))}: look into that day."
            checks.append(DataCheck("sample_ratio_day", text, is_blocking=False))
    for key, count in observed.items():
        if not count and expected[key] >= _SILENT_BELOW:
            text = f"No user of {key} has been seen, where the split gives {expected[key]:,.0f}."
            checks.append(DataCheck("silent_arm", text))
    return tuple(checks)


def _ratio(counts: list[int] | list[float]) -> str:
    return " : ".join(f"{count:,.0f}" for count in counts)


def _crossovers(exposures: ExposureSummary, users: int, variants: list[str], shares: list[float]) -> CrossoverShare:
    share = exposures.crossovers / (users + exposures.crossovers) if exposures.crossovers else 0.0
    first = srm_test([exposures.crossovers_by_first_variant.get(key, 0) for key in variants], shares)
    return {
        "users": exposures.crossovers,
        "share": share,
        "pValue": first.p_value,
        "warning": share > CROSSOVER_WARNING_SHARE,
    }


def _caveats(exposures: ExposureSummary, reason: str | None, users: int, payload: RatioResult) -> tuple[str, ...]:
    caveats = []
    if reason is not None:
        caveats.append(f"Sample ratio: {reason}.")
    if payload["unexpectedUsers"]:
        caveats.append(
            f"{payload['unexpectedUsers']} users saw a variant that the split gives to nobody; they are left out."
        )
    strangers = sum(count for key, count in exposures.users.items() if key not in payload["observed"])
    if strangers:
        caveats.append(f"{strangers} users saw a variant the flag no longer has; they are left out.")
    if payload["crossovers"]["warning"]:
        caveats.append(
            f"{exposures.crossovers} users ({payload['crossovers']['share']:.1%}) saw more than one variant and are "
            "left out; above 1 % this can bias the result."
        )
    if users and any(day["pValue"] is None and day["complete"] for day in payload["daily"]):
        caveats.append(
            "Days with fewer than 5 expected users in a variant are not tested for the sample ratio by themselves."
        )
    return tuple(caveats)
