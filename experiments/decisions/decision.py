"""What to do, in the order that STATISTICS.md fixes ("Decisions, in this order"), with the reason in plain words.

`decide` is pure: the same evidence gives the same decision and the same sentences in the console, the API, a
notification and a CSV. Each step either decides or hands on to the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.decisions import wording
from experiments.decisions.evidence import DecidingEffect, Evidence, GuardrailStatus, Status
from experiments.decisions.outcome import Act, Decision, Reason

SHORTEST_DAYS = 7
# A lift beyond this is more often a fault in the data than an effect (Twyman's law).
IMPLAUSIBLE_LIFT = 1.0


@dataclass(frozen=True, slots=True)
class _Case:
    """The evidence with what the steps before have settled."""

    evidence: Evidence
    arms: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.evidence.status is Status.COMPLETED

    @property
    def is_at_end(self) -> bool:
        """More users change nothing: the experiment is completed, its figures are frozen, or the plan is fulfilled."""
        progress = self.evidence.progress
        return self.is_over or progress.is_frozen or progress.is_planned_size_reached

    def effects(self) -> list[DecidingEffect]:
        found = (self.evidence.primary_of(arm) for arm in self.arms)
        return [effect for effect in found if effect is not None]

    def says(
        self,
        act: Act,
        reason: Reason,
        text: str,
        *,
        arm: str | None = None,
        reasons: Sequence[str] = (),
        caveats: Sequence[str] = (),
    ) -> Decision:
        return Decision(act, reason, text, arm, self.dropped, (*reasons, *self.notes), (*self.caveats, *caveats))


def decide(evidence: Evidence) -> Decision:
    """Return the decision of the first step that has one."""
    case = _Case(
        evidence, evidence.arms, caveats=tuple(check.text for check in evidence.checks if not check.is_blocking)
    )
    for step in _FIRST_STEPS:
        found = step(case)
        if found is not None:
            return found
    case = _without_harmful_arms(case)
    for step in _LATER_STEPS:
        found = step(case)
        if found is not None:
            return found
    raise AssertionError("the last step always decides")


def _earlier_phase(case: _Case) -> Decision | None:
    why = case.evidence.ended_because
    if not why:
        return None
    return case.says(
        Act.HOLD, Reason.NO_VERDICT, f"This phase ended because {why[0].lower()}{why[1:]}", reasons=_figures(case)
    )


def _no_users(case: _Case) -> Decision | None:
    if case.evidence.progress.users:
        return None
    if case.is_over:
        return case.says(
            Act.STOP, Reason.NO_USERS, f"The experiment ended without a user: {case.evidence.control} stays."
        )
    return case.says(Act.KEEP_RUNNING, Reason.NO_USERS, _on(case, "no user has been seen yet"))


def _no_verdict(case: _Case) -> Decision | None:
    if case.evidence.has_verdict:
        return None
    return case.says(Act.HOLD, Reason.NO_VERDICT, f"These figures carry no verdict: {case.evidence.why_no_verdict}.")


def _data(case: _Case) -> Decision | None:
    blocking = [check.text for check in case.evidence.checks if check.is_blocking]
    if not blocking:
        return None
    return case.says(
        Act.DO_NOT_TRUST,
        Reason.DATA,
        "Do not trust these figures yet: a check of the data failed.",
        reasons=[*blocking, "Find the cause and mend it, then restart the experiment."],
    )


def _without_harmful_arms(case: _Case) -> _Case:
    violated = [item for item in case.evidence.guardrails if item.status is GuardrailStatus.VIOLATED]
    harmful = {item.variant for item in violated}
    return _Case(
        case.evidence,
        tuple(arm for arm in case.arms if arm not in harmful),
        tuple(arm for arm in case.arms if arm in harmful),
        tuple(wording.harm(item, case.evidence.control) for item in violated),
        case.caveats,
    )


def _all_dropped(case: _Case) -> Decision | None:
    if case.arms or not case.dropped:
        return None
    control = case.evidence.control
    who = wording.listed(case.dropped)
    text = (
        f"Keep {control}: a guardrail showed harm in {who}."
        if case.is_over
        else f"Stop: a guardrail shows harm in {who}. Serve {control}."
    )
    return case.says(Act.STOP, Reason.GUARDRAIL, text, arm=control)


def _time(case: _Case) -> Decision | None:
    evidence, progress = case.evidence, case.evidence.progress
    if case.is_over and not progress.is_frozen:
        until = "" if progress.frozen_at is None else f" on {progress.frozen_at:%Y-%m-%d %H:%M} UTC"
        return case.says(
            Act.HOLD,
            Reason.TIME,
            f"Wait: late conversions still count until the results freeze{until}.",
            reasons=_figures(case),
        )
    if progress.is_frozen:
        return None
    waits: str | None = None
    if progress.days < SHORTEST_DAYS:
        waits = "less than a whole week of data, and weekdays differ from weekends"
    elif not progress.complete_users:
        waits = "no user's conversion window is complete yet"
    elif evidence.is_fixed_horizon and not progress.is_planned_size_reached:
        waits = "a fixed-horizon test is read once, when the planned users are complete"
    if waits is None:
        return None
    return _or_drop(case, Act.KEEP_RUNNING, Reason.TIME, _on(case, waits))


def _constancy(case: _Case) -> Decision | None:
    changed = [effect for effect in case.effects() if not effect.is_constant]
    if not changed or any(effect.is_constant and effect.is_better for effect in case.effects()):
        return None
    who = wording.listed([effect.variant for effect in changed])
    verb = "changed" if case.is_over else "has changed"
    return _or_drop(
        case,
        Act.HOLD,
        Reason.EFFECT_CHANGED,
        f"Hold: the effect of {who} {verb} over time, so no single figure describes it.",
        reasons=[
            *_figures(case),
            "Look at the difference by day: a novelty effect, another change, or a fault may explain it.",
        ],
    )


def _better(case: _Case) -> Decision | None:
    winners = [effect for effect in case.effects() if effect.is_better and effect.is_constant]
    if not winners:
        return None
    winners.sort(key=lambda effect: abs(effect.difference or 0.0), reverse=True)
    unsafe = {arm: _unsafe(case, arm) for arm in (effect.variant for effect in winners)}
    safe = [effect for effect in winners if not unsafe[effect.variant]]
    if not safe:
        return _ahead_but_not_safe(case, winners, unsafe)
    best = safe[0]
    equals = [effect for effect in safe[1:] if not _is_apart(case.evidence, best.variant, effect.variant)]
    caveats = [*_implausible(best), *_secondary_harm(case.evidence, best.variant)]
    figures = _figures(case)
    if equals:
        names = [effect.variant for effect in (best, *equals)]
        names.sort(key=case.evidence.arms.index)
        either = wording.listed(names).replace(" and ", " or ")
        text = f"Ship {either}: each is better than {case.evidence.control}, and they cannot be told apart."
        caveats = [text for effect in (best, *equals) for text in _of_winner(case.evidence, effect)]
        return case.says(
            Act.SHIP,
            Reason.NOT_SEPARABLE,
            f"{text} Choose the simpler one.",
            arm=names[0],
            reasons=figures,
            caveats=list(dict.fromkeys(caveats)),
        )
    harm = " Read the caveats first." if caveats else ""
    tense = "was" if case.is_over else "is"
    return case.says(
        Act.SHIP,
        Reason.BETTER,
        f"Ship {best.variant}: it {tense} better than {case.evidence.control}.{harm}",
        arm=best.variant,
        reasons=figures,
        caveats=caveats,
    )


def _of_winner(evidence: Evidence, effect: DecidingEffect) -> list[str]:
    return [*_implausible(effect), *_secondary_harm(evidence, effect.variant)]


def _unsafe(case: _Case, arm: str) -> list[str]:
    """The guardrails that are not shown to be safe in this arm."""
    return [item.metric for item in case.evidence.guardrails_of(arm) if item.status is GuardrailStatus.UNDECIDED]


def _ahead_but_not_safe(case: _Case, winners: list[DecidingEffect], unsafe: dict[str, list[str]]) -> Decision:
    best = winners[0]
    missing = wording.listed(unsafe[best.variant])
    reasons = [*_figures(case), f"Not shown to be safe for {best.variant}: {missing}."]
    if case.is_at_end:
        tense = "was" if case.is_over else "is"
        return case.says(
            Act.HOLD,
            Reason.GUARDRAIL,
            f"Hold: {best.variant} {tense} better, and {missing} {tense} not shown to be safe. A person decides.",
            arm=best.variant,
            reasons=reasons,
        )
    text = _on(case, f"{best.variant} is better, and not every guardrail has passed yet")
    return case.says(Act.KEEP_RUNNING, Reason.GUARDRAIL, text, arm=best.variant, reasons=reasons)


def _worse(case: _Case) -> Decision | None:
    effects = case.effects()
    worse = [effect for effect in effects if effect.is_worse]
    control = case.evidence.control
    if worse and len(worse) == len(effects):
        who = wording.listed([effect.variant for effect in worse])
        verb = "is" if len(worse) == 1 else "are"
        past = "was" if len(worse) == 1 else "were"
        text = (
            f"Keep {control}: {who} {past} worse."
            if case.is_over
            else f"Stop: {who} {verb} worse than {control}. Serve {control}."
        )
        return case.says(Act.STOP, Reason.WORSE, text, arm=control, reasons=_figures(case))
    if worse and not case.is_at_end:
        who = wording.listed([effect.variant for effect in worse])
        return case.says(
            Act.DROP_ARM,
            Reason.WORSE,
            f"Drop {who}: worse than {control}. Keep the other arms running.",
            arm=worse[0].variant,
            reasons=[*_figures(case), wording.progress(case.evidence.progress)],
        )
    return None


def _equal(case: _Case) -> Decision | None:
    smallest = case.evidence.minimum_effect
    effects = case.effects()
    if smallest is None or not effects or not all(_is_within(effect, smallest) for effect in effects):
        return None
    who = wording.listed([effect.variant for effect in effects])
    tense = "differed" if case.is_over else "differs" if len(effects) == 1 else "differ"
    control = case.evidence.control
    return case.says(
        Act.STOP,
        Reason.EQUAL,
        f"No difference that matters: {who} {tense} from {control} by less than {100 * smallest:g} %. "
        "Keep the simpler one.",
        arm=control,
        reasons=_figures(case),
    )


def _inconclusive(case: _Case) -> Decision:
    figures = _figures(case)
    if case.is_at_end:
        control = case.evidence.control
        ended = "ended" if case.is_over else "has reached its planned size"
        return case.says(
            Act.STOP,
            Reason.INCONCLUSIVE,
            f"Inconclusive: the experiment {ended}, and the intervals hold both gain and loss. Keep {control}, or plan "
            "a larger experiment.",
            arm=control,
            reasons=figures,
        )
    return _or_drop(
        case,
        Act.KEEP_RUNNING,
        Reason.INCONCLUSIVE,
        _on(case, "no clear difference yet"),
        reasons=[*figures, wording.progress(case.evidence.progress)],
    )


def _is_within(effect: DecidingEffect, smallest: float) -> bool:
    """The whole interval lies within the minimum effect of interest, either side of 0."""
    if effect.interval is None or not effect.control_figure:
        return False
    reach = smallest * abs(effect.control_figure)
    return -reach < effect.interval[0] and effect.interval[1] < reach


def _is_apart(evidence: Evidence, one: str, other: str) -> bool:
    first, second = sorted((one, other), key=evidence.arms.index)
    return evidence.apart.get((first, second), False)


def _implausible(effect: DecidingEffect) -> list[str]:
    if effect.control_figure == 0:
        return [f"{effect.metric} is 0 for the control: check that its events arrive."]
    if effect.lift is not None and abs(effect.lift) > IMPLAUSIBLE_LIFT:
        return [
            f"A lift of {wording.percent(effect.lift)} is rarely real: check the events of {effect.metric} before you "
            "ship."
        ]
    return []


def _secondary_harm(evidence: Evidence, variant: str) -> list[str]:
    return [
        f"Harm elsewhere: {wording.effect(effect, evidence.control)}."
        for effect in evidence.secondary
        if effect.variant == variant and effect.is_worse
    ]


def _figures(case: _Case) -> list[str]:
    return [wording.effect_with_significance(effect, case.evidence.control) for effect in case.effects()]


def _on(case: _Case, why: str) -> str:
    """`why` as the reason to go on; a paused experiment enrols nobody until it is resumed."""
    if case.evidence.status is Status.PAUSED:
        return f"Paused: {why}. Resume it to go on, or end it."
    return f"Keep running: {why}."


def _or_drop(case: _Case, act: Act, reason: Reason, text: str, *, reasons: Sequence[str] = ()) -> Decision:
    """The decision as given, or with the harmful arms dropped first: their harm does not wait for the others."""
    if not case.dropped or case.is_over:
        return case.says(act, reason, text, reasons=reasons or _figures(case))
    who = wording.listed(case.dropped)
    return case.says(
        Act.DROP_ARM,
        Reason.GUARDRAIL,
        f"Drop {who}: a guardrail shows harm. The other arms: {text[0].lower()}{text[1:]}",
        arm=case.dropped[0],
        reasons=reasons or _figures(case),
    )


_Step = Callable[[_Case], Decision | None]
_FIRST_STEPS: tuple[_Step, ...] = (_earlier_phase, _no_users, _no_verdict, _data)
_LATER_STEPS: tuple[_Step, ...] = (_all_dropped, _time, _constancy, _better, _worse, _equal, _inconclusive)
