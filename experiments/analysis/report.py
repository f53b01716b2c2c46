"""The whole result of an experiment, as the API answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics import selectors as events
from experiments.analysis import exclusions, guards, provenance
from experiments.analysis.arrivals import arrival_caveats
from experiments.analysis.balance import balance_checks, pre_period_balance
from experiments.analysis.breakdown import break_down
from experiments.analysis.comparisons import MetricAtLook, compare_all
from experiments.analysis.looks import look_of, previous_looks, tuned_users, users_at_look
from experiments.analysis.metric_types import metric_type
from experiments.analysis.sample_ratio import SampleRatio, sample_ratio
from experiments.analysis.verdict import recommend
from experiments.analysis.window import Window, window_of
from experiments.analysis.window_data import WindowData
from experiments.models import Experiment, Metric
from experiments.payloads import Excluded, GuardrailResult, ResultHeader, Results, ResultWindow

# Whoever waits for results waits so long at most. What is stored every night has no such limit.
RESULTS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ComputedResults:
    """A computed result: the API's payload, and further parts for the stored row and the jobs."""

    window: Window
    payload: Results
    ratio: SampleRatio
    guardrails: list[GuardrailResult]
    watermark: datetime | None
    config_versions: list[int]


def results_for(
    experiment: Experiment,
    window: str | None = None,
    *,
    phase: str | int | None = None,
    segment: str | None = None,
    now: datetime | None = None,
    final: Callable[[Experiment, Window], Results] | None = None,
) -> Results:
    """Compute the results now; `final`, where it is given, answers those of a final window instead.

    `window` and `phase` as in `window_of`; `segment` is an attribute to break the primary metric down by. Raises
    Invalid, Conflict `not_started`, and Unavailable where it takes longer than RESULTS_SECONDS.
    """
    with events.answer_within(RESULTS_SECONDS, what="Working the results out"):
        found = window_of(experiment, window, phase=phase, now=now)
        payload = final(experiment, found) if final and found.is_final else analyse(experiment, found).payload
        return payload if segment is None else _with_breakdown(experiment, found, payload, segment)


def _with_breakdown(experiment: Experiment, window: Window, payload: Results, segment: str) -> Results:
    """The results with the primary metric broken down by an attribute. Raises Invalid."""
    found = break_down(experiment, window, segment, _arms(experiment, window))
    caveats = list(payload["caveats"])
    if not found["segments"]:
        caveats.append(
            f"No exposure carries {segment!r}: name it in the experiment's breakdowns, and from then on the server "
            "keeps it."
        )
    caveats.append("Segments suggest what to ask next; they do not decide, corrected as they are.")
    return {**payload, "breakdown": found, "caveats": caveats}


def analyse(experiment: Experiment, window: Window) -> ComputedResults:
    data = WindowData(experiment, window)
    exposures = data.exposures()
    ratio = sample_ratio(window, exposures)
    arms = _arms(experiment, window)
    primary = _metric_at_look(data, exposures, data.plan.primary, arms)
    planned, exploratory = (
        [_metric_at_look(data, exposures, use.metric, arms) for use in data.plan.secondary if use.is_planned is wanted]
        for wanted in (True, False)
    )
    secondary = planned + exploratory
    control, previous = experiment.control_variant, previous_looks(experiment, window)
    measured = [entry.measure.metric for entry in (primary, *secondary)]
    balances = pre_period_balance(data, measured, arms, control=control)
    comparisons, caveats = compare_all(
        experiment,
        [primary],
        previous,
        control=control,
        role="primary",
        correction=experiment.correction,
        balances=balances,
    )
    # Secondary metrics are many, so the share of false claims among them is controlled.
    lenient = Experiment.Correction.BENJAMINI_HOCHBERG
    further, more = compare_all(
        experiment,
        planned,
        previous,
        control=control,
        role="secondary",
        correction=experiment.correction if experiment.correction == Experiment.Correction.NONE else lenient,
        balances=balances,
    )
    explored, notes = compare_all(
        experiment,
        exploratory,
        previous,
        control=control,
        role="secondary",
        correction=Experiment.Correction.NONE,
        balances=balances,
    )
    more += notes
    since = {use.metric.key: use.exploratory_since for use in data.plan.secondary if use.exploratory_since}
    for item in explored:
        item["exploratory"], item["exploratorySince"] = True, since[item["metric"]].isoformat()
    more += [
        f"{use.metric.key} was added as a {use.role} on {use.exploratory_since:%Y-%m-%d}, after the start: it is "
        "exploratory, and decides nothing."
        for use in (*data.plan.secondary, *data.plan.guardrails)
        if use.exploratory_since
    ]
    judged: list[GuardrailResult] = []
    for use in data.plan.guardrails:
        found, reasons = guards.judge(use, data, arms, control=control)
        judged += found
        more += reasons
    users = sum(arm.users for arm in primary.measure.arms.values())
    incomplete = users - users_at_look(primary.at_look)
    names = sorted({entry.measure.metric.event_name for entry in [primary, *secondary]})
    watermark = provenance.watermark(experiment, window, names)
    versions = provenance.config_versions(experiment, window)
    with_bots = exclusions.ratio_with_bots(data, exposures)
    by_first_variant = exclusions.by_first_variant(data, arms, ratio)
    prefetched = events.prefetched_exposures(data.period())
    checks = [
        *ratio.checks,
        *exclusions.crossover_checks(ratio, comparisons, by_first_variant),
        *balance_checks(comparisons + further, balances),
    ]
    excluded: Excluded = {
        "bots": exposures.bots,
        "crossovers": exposures.crossovers,
        # Before the results freeze no event is late, because missing events may still arrive.
        "late": primary.measure.late if window.is_frozen else 0,
    }
    if targeted := data.targeted():
        excluded["targeted"] = targeted
    payload: Results = {
        "experiment": _header(data),
        "window": _window(window),
        "configVersions": versions,
        "watermark": watermark,
        "variants": [
            {
                **arm.as_payload(experiment.alpha),
                "weight": window.phase.weights[key] / 10_000,
                "isControl": key == control,
            }
            for key, arm in primary.measure.arms.items()
        ],
        "metrics": [
            {
                "metric": entry.measure.metric.key,
                "variants": [arm.as_payload(experiment.alpha) for arm in entry.measure.arms.values()],
            }
            for entry in secondary
        ],
        "comparisons": comparisons + further + explored,
        "srm": {**ratio.payload, "beforeBots": with_bots},
        "guardrails": judged,
        "excluded": excluded,
        "prefetched": prefetched,
        "sensitivity": {"byFirstVariant": by_first_variant},
        "recommendation": recommend(
            experiment=experiment,
            plan=data.plan,
            window=window,
            primary=primary,
            comparisons=comparisons + further,
            guardrails=judged,
            checks=checks,
        ),
        "caveats": list(
            dict.fromkeys(
                [
                    *arrival_caveats(data, primary.measure),
                    *_caveats(data, versions, users, incomplete),
                    *_prefetched_caveats(prefetched),
                    *ratio.caveats,
                    *exclusions.bot_caveats(with_bots, ratio),
                    *caveats,
                    *more,
                ]
            )
        ),
    }
    return ComputedResults(window, provenance.as_stored(payload), ratio, judged, watermark, versions)


def _arms(experiment: Experiment, window: Window) -> list[str]:
    """The variants with a share of the phase's split, the control first."""
    weights = window.phase.weights
    control = experiment.control_variant
    return [control, *(key for key in weights if weights[key] and key != control)]


def _metric_at_look(
    data: WindowData, exposures: events.ExposureSummary, metric: Metric, arms: list[str]
) -> MetricAtLook:
    kind = metric_type(metric)
    everybody = kind.measure(data, arms)
    look, reason = look_of(data.experiment, data.window, exposures, kind.window)
    if look is None:
        return MetricAtLook(everybody, why_no_look=reason)
    return MetricAtLook(everybody, look, kind.measure(data, arms, look.cutoff))


def _header(data: WindowData) -> ResultHeader:
    experiment = data.experiment
    return {
        "id": experiment.key,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "flagKey": experiment.config.flag.key,
        "status": experiment.status,
        "controlVariant": experiment.control_variant,
        "primaryMetric": data.plan.primary.key,
        "goal": data.plan.primary.goal,
        "method": experiment.method,
        "alpha": experiment.alpha,
        "correction": experiment.correction,
        "plannedUsers": experiment.planned_users,
        "tunedUsers": tuned_users(data.window.phase),
        "minimumEffect": data.plan.minimum_effect,
        "startedAt": experiment.started_at,
        "endedAt": experiment.ended_at,
    }


def _window(window: Window) -> ResultWindow:
    return {
        "since": window.since,
        "until": window.until,
        "asOf": window.now,
        "phase": window.phase.number,
        "weights": window.phase.weights,
        "frozen": window.is_frozen,
    }


def _prefetched_caveats(count: int) -> list[str]:
    if not count:
        return []
    what = "1 exposure comes" if count == 1 else f"{count:,} exposures come"
    return [
        f"{what} from bulk answers (prefetched): these users were given the variant, and need not have seen it, which "
        "dilutes the effect. Clients that report what they show ask for exposures=none."
    ]


def _caveats(data: WindowData, versions: list[int], users: int, incomplete: int) -> list[str]:
    experiment, window, caveats = data.experiment, data.window, []
    if window.phases_touched > 1:
        caveats.append(
            f"The window reaches over several phases; these figures are about phase {window.phase.number} alone."
        )
    erased = events.raw_events_since(experiment.environment_id)
    if erased is not None and window.since < erased:
        caveats.append(
            f"Raw events before {erased:%Y-%m-%d} are deleted by retention. Figures of users first seen before that "
            "day come from what was counted earlier; what was not counted then is missing."
        )
    if window.since > window.phase.started_at:
        caveats.append(
            "The window begins after the phase did: users seen before count from their first exposure within it."
        )
    if incomplete and not window.is_frozen:
        caveats.append(
            f"{incomplete:,} of {users:,} users may still convert: their conversion window was open at the last look. "
            "Sequential figures leave them out."
        )
    if experiment.method == Experiment.Method.FIXED and not window.is_frozen:
        caveats.append(
            "Fixed horizon: p-value and interval hold for one look at the planned end, not for looking on the way."
        )
    pauses = len(data.pauses)
    if pauses:
        caveats.append(
            f"The experiment was paused {'once' if pauses == 1 else f'{pauses} times'} in this phase; users first seen "
            "during a pause are not in these figures."
        )
    if len(versions) > 1:
        caveats.append(
            f"The flag's document changed in this phase (versions {', '.join(map(str, versions[1:]))}), not its "
            "targeting or split: those begin a phase of their own."
        )
    for key, when in provenance.changed_prerequisites(experiment, window).items():
        caveats.append(
            f"The prerequisite {key} changed in this phase (versions {', '.join(map(str, when))}): who meets it, and "
            "so who takes part, may differ before and after. A restart would begin anew."
        )
    off = provenance.interruptions(experiment, window)
    if off:
        caveats.append(
            f"The flag was off or killed {'once' if off == 1 else f'{off} times'} in this phase: nobody was exposed "
            "then, and whoever had been before was served without the experiment for that time."
        )
    if experiment.is_cuped:
        caveats.append(
            "Differences are adjusted by what the users did in the 14 days before (CUPED); averages are not."
        )
    length = window.until - window.since
    if users and length < timedelta(days=7):
        caveats.append("Less than a whole week of data: weekdays and weekends may differ.")
    caveats.append("Probabilities to beat the control are no remedy for peeking; decide by the sequential figures.")
    return caveats
