"""Bringing a plan to where the planner says it belongs, in one write: steps, a hold, a rollback or a kill.

The callers hold the locks of the project's environments and of the plan's row.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import audit.services
from audit.actors import Actor
from audit.services import diff
from flags.documents import flag_document
from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import Served, gate, kill_flag, served_of, set_share, update_flag
from rollouts.clock import database_now
from rollouts.documents import text_of
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import CHECK_EVERY, Act, Plan, State, Verdicts, Wait, due, earliest
from rollouts.planning.plan_fields import steps_of
from rollouts.services.asking import CLEAN_UP_TAG
from rollouts.services.conflicts import (
    anchored,
    events_of,
    note,
    record_events,
    refuse_given_by_default,
    stop,
    writing,
)
from tenancy.errors import Conflict
from tenancy.models import Environment

_State = RolloutPlan.State
_WORDS: Final = {
    Wait.TIME: "The next step is due at {at}.",
    Wait.APPROVAL: "The next step needs an approval: somebody has to advance the plan.",
    Wait.USERS: "The next step waits until {minimum} users were exposed on this one; {users} were.",
    Wait.GUARDRAIL: "The next step waits until every guardrail shows that it holds.",
    Wait.ENVIRONMENT: "The first step waits until everybody in {environment} has had it for {duration}.",
}
# What keeps a plan from a step that is due, and no step asks for.
_FREEZE: Final = "freeze"
_FLAG_OFF: Final = "flag_off"
_KILLED_OR_RETURNED: Final = frozenset({"version", "killSwitchVariant", "experiment", "allocation", "rules"})


def look(
    *,
    actor: Actor,
    plan: RolloutPlan,
    environments: Mapping[int, Environment],
    now: datetime,
    verdicts: Verdicts | None = None,
    not_before: datetime | None = None,
) -> State:
    """Ask the planner, and write once what it says. Raises what a write to a flag raises; then nothing is written.

    Without `verdicts` nobody has asked the data: a plan that waits for them goes on waiting, until a worker has. The
    next step begins at `not_before` or later.
    """
    state = due(planned(plan, not_before or was_kept_until(plan, now)), now, approvals_of(plan), verdicts)
    if state.act is not None:
        perform(actor=actor, plan=plan, environments=environments, act=state.act, reason=state.reason)
    elif state.passed and (wait := _standing_in_the_way(plan, now)):
        plan.waits_for, plan.waits_because, plan.due_at = wait
        plan.next_step_at = None
        plan.save()
    elif state.passed:
        take_steps(actor=actor, plan=plan, environments=environments, state=state, now=now)
    elif state.is_complete:
        # It was rolled back from its end, and resumed.
        _complete(plan, now)
        plan.save()
        plan.parts.update(is_open=False)
        record_events(actor, plan, "flag.rollout_completed")
    else:
        _wait(plan, state, verdicts)
        plan.save()
    return state


def planned(plan: RolloutPlan, not_before: datetime | None = None) -> Plan:
    """The plan as the planner takes it."""
    steps = steps_of(plan.steps, waits_for_environment=plan.after_environment is not None)
    return Plan(steps, plan.current_step, plan.entered_at or plan.created_at, not_before)


def was_kept_until(plan: RolloutPlan, now: datetime) -> datetime | None:
    """Until when something stood in the way of the step that is due; None where nothing did.

    The step begins then, and the time of the steps after it counts from then. The end of a freeze is known, however
    late a worker looks after it; of a flag that was off only that it is on now.
    """
    if plan.waits_for == _FREEZE and plan.due_at is not None:
        return min(plan.due_at, now)
    return now if plan.waits_for in {_FREEZE, _FLAG_OFF} else None


def approvals_of(plan: RolloutPlan) -> dict[int, datetime]:
    return {int(number): datetime.fromisoformat(given["at"]) for number, given in plan.approvals.items()}


def _standing_in_the_way(plan: RolloutPlan, now: datetime) -> tuple[str, str, datetime] | None:
    """What keeps a plan from a step that is due, apart from the step's own conditions: its kind, words, and until when.

    A freeze keeps it from no rollback.
    """
    freeze = gate.frozen(plan.environment, now)
    if freeze is not None:
        until = freeze["until"]
        return _FREEZE, f"The step waits for the end of the freeze {freeze['name']}.", until or now + CHECK_EVERY
    off = [part.config.flag.key for part in _parts(plan) if not part.config.is_enabled]
    if off:
        words = f"The step waits until {', '.join(off)} is switched on: nobody gets a share of a flag that is off."
        return _FLAG_OFF, words, now + CHECK_EVERY
    return None


def _parts(plan: RolloutPlan) -> list[RolloutPart]:
    """As they are now."""
    return list(plan.parts.select_related("config__flag", "config__environment").order_by("position"))


def take_steps(
    *, actor: Actor, plan: RolloutPlan, environments: Mapping[int, Environment], state: State, now: datetime
) -> None:
    """Write the step that is reached in every flag of the plan, and audit each step on the way once."""
    if state.is_complete and plan.then == RolloutPlan.Then.MAKE_PERMANENT:
        _make_permanent(actor, plan, environments)
    else:
        write_rung(actor, plan, environments, state.step, why(plan, state.step))
    enter(plan, state, now)
    plan.save()
    if state.is_complete:
        plan.parts.update(is_open=False)
    audit.services.record_each(actor=actor, at=plan.environment, acts=told(plan, _parts(plan), state))


def told(plan: RolloutPlan, parts: Sequence[RolloutPart], state: State) -> list[audit.services.Act]:
    """The events of the steps that were taken, and of the plan's end."""
    steps = [(passed.number, passed.at) for passed in state.passed]
    taken = events_of(plan, parts, "flag.rollout_progress", steps=steps)
    return taken + (events_of(plan, parts, "flag.rollout_completed") if state.is_complete else [])


def enter(plan: RolloutPlan, state: State, now: datetime) -> None:
    """Put the plan onto the step that is reached; the caller saves it, and closes the parts of one at its end."""
    keep_verdicts(plan)
    plan.current_step, plan.entered_at, plan.written_at = state.step, state.entered_at, now
    plan.verdicts = []
    for passed in state.passed:
        is_passed_through = passed.number != state.step
        note(plan, "step", "passed through" if is_passed_through else "", step=passed.number, at=now)
    if state.is_complete:
        _complete(plan, now)
    else:
        _wait(plan, state, None)
    plan.version += 1


def keep_verdicts(plan: RolloutPlan) -> None:
    """Keep with the step that ends what its guardrails said the last time; the plan's page draws it."""
    number = plan.current_step
    places = [place for place, line in enumerate(plan.history) if (line["act"], line["step"]) == ("step", number)]
    if places and plan.verdicts:
        history = list(plan.history)
        history[places[-1]] = {**history[places[-1]], "verdicts": plan.verdicts}
        plan.history = history


def _complete(plan: RolloutPlan, now: datetime) -> None:
    plan.state, plan.finished_at = _State.COMPLETED, max(now, plan.created_at)
    plan.due_at, plan.next_step_at, plan.waits_for, plan.waits_because = None, None, "", ""
    note(plan, "completed", at=now)


def _wait(plan: RolloutPlan, state: State, verdicts: Verdicts | None) -> None:
    plan.due_at = state.next_due_at
    plan.next_step_at = _step_time(plan, state)
    plan.waits_for = state.waits_for or ""
    plan.waits_because = _words(plan, state, verdicts) if state.waits_for else ""


def _step_time(plan: RolloutPlan, state: State) -> datetime | None:
    """When the next step is due by the clock; what else it asks for is not known before."""
    if state.waits_for is not Wait.TIME or state.step >= len(plan.steps):
        return None
    return earliest(Plan(planned(plan).steps, state.step, state.entered_at))


def _words(plan: RolloutPlan, state: State, verdicts: Verdicts | None) -> str:
    step = plan.steps[state.step] if state.step < len(plan.steps) else {}
    elsewhere = plan.after_environment or {}
    wait = state.waits_for or Wait.TIME
    return _WORDS[wait].format(
        at=text_of(_step_time(plan, state)),
        minimum=step.get("minimumUsers"),
        users=verdicts.users if verdicts is not None else 0,
        environment=elsewhere.get("environment"),
        duration=elsewhere.get("for"),
    )


def why(plan: RolloutPlan, number: int) -> str:
    return f"Rollout plan, step {number} of {len(plan.steps)}: {plan.steps[number - 1]['percent']:g} %"


def write_rung(
    actor: Actor, plan: RolloutPlan, environments: Mapping[int, Environment], number: int, reason: str
) -> None:
    """Give every flag of the plan the ranges of a step, all or none."""
    with writing(plan):
        for part in _parts(plan):
            set_share(
                actor=actor,
                environment=part.config.environment,
                key=part.config.flag.key,
                rule_id=part.rule_id,
                served=Served(part.rungs[number - 1]),
                reason=reason,
                environments=environments,
            )


def _make_permanent(actor: Actor, plan: RolloutPlan, environments: Mapping[int, Environment]) -> None:
    """Make the variant the default, or what the rule gives to all, and tag the flag for its clean-up."""
    reason = f"{why(plan, len(plan.steps))}, for good"
    with writing(plan):
        for part in _parts(plan):
            config = get_config(environments[part.config.environment_id], part.config.flag.key)
            tags = list(dict.fromkeys([*config.flag.tags, CLEAN_UP_TAG]))
            change: dict[str, Any] = {"tags": tags}
            if part.rule_id is None:
                change |= {"defaultVariant": part.variant, "rollout": []}
            else:
                set_share(
                    actor=actor,
                    environment=config.environment,
                    key=config.flag.key,
                    rule_id=part.rule_id,
                    served=Served([], part.variant),
                    reason=reason,
                    environments=environments,
                )
            update_flag(
                actor=actor,
                environment=config.environment,
                key=config.flag.key,
                payload=change,
                version=None,
                reason=reason,
            )


def perform(*, actor: Actor, plan: RolloutPlan, environments: Mapping[int, Environment], act: Act, reason: str) -> None:
    """What a guardrail or a trigger asks for. A kill holds the plan by itself."""
    if act is Act.HOLD:
        stop(actor, plan, _State.HELD, reason)
    elif act is Act.ROLLBACK:
        put_back(actor=actor, plan=plan, environments=environments, reason=reason)
    else:
        verdicts = plan.verdicts
        for part in _parts(plan):
            kill_flag(actor=actor, environment=part.config.environment, key=part.config.flag.key, reason=reason)
        plan.refresh_from_db()
        plan.verdicts = verdicts
        plan.save(update_fields=["verdicts"])


def put_back(*, actor: Actor, plan: RolloutPlan, environments: Mapping[int, Environment], reason: str) -> list[str]:
    """Give every flag back what it had before the plan. Return what others changed meanwhile, which stays.

    Raises Conflict `anchor_not_reached`, so that nothing is written, where the result is not the anchor's, or people
    would have the variant all the same, by default.
    """
    changed: list[str] = []
    left: list[str] = []
    with writing(plan):
        for part in _parts(plan):
            config = get_config(environments[part.config.environment_id], part.config.flag.key)
            others = changed_since(part, config)
            kept = f"{', '.join(others)} changed meanwhile and stays" if others else ""
            config = set_share(
                actor=actor,
                environment=config.environment,
                key=config.flag.key,
                rule_id=part.rule_id,
                served=anchored(part),
                reason="; ".join(
                    [f"Rollout plan rolled back to version {part.anchor_version}: {reason}", *([kept] if kept else [])]
                ),
                action="flag.rolled_back",
                environments=environments,
            )
            _check_returned(part, config, is_whole=not others)
            changed += others
            left += [f"{config.flag.key}: {kept}"] if kept else []
    now = database_now()
    keep_verdicts(plan)
    plan.state, plan.stopped_at, plan.finished_at = _State.ROLLED_BACK, now, None
    plan.due_at, plan.next_step_at = None, None
    plan.waits_for, plan.waits_because = "person", "; ".join([reason.rstrip("."), *left]) if left else reason
    plan.parts.update(is_open=True)
    note(plan, "rolled_back", plan.waits_because, at=now)
    plan.version += 1
    plan.save()
    return changed


def changed_since(part: RolloutPart, config: FlagConfig) -> list[str]:
    """The fields of the flag that differ from the anchor's, apart from what the plan writes."""
    now, before = flag_document(config), part.anchor or {}
    found = [name for name in now if name not in _KILLED_OR_RETURNED and now[name] != before.get(name)]
    if part.rule_id is not None and now["allocation"] != before.get("allocation"):
        found.append("rollout")
    if _other_rules(now, part) != _other_rules(before, part):
        found.append("rules")
    return sorted(found)


def _other_rules(document: Mapping[str, Any], part: RolloutPart) -> list[Any]:
    """The rules without what the plan writes in its own."""
    written = {"variant", "allocation"}
    return [
        {name: value for name, value in rule.items() if rule["id"] != str(part.rule_id) or name not in written}
        for rule in document.get("rules", [])
    ]


def _check_returned(part: RolloutPart, config: FlagConfig, *, is_whole: bool) -> None:
    """A rollback has succeeded if the flag's document is the anchor's: all of it, or the share where others changed."""
    refuse_given_by_default(part, config, code="anchor_not_reached")
    rules = list(config.rules.all())
    document, anchor = flag_document(config), part.anchor or {}
    differing = [
        change["path"]
        for change in diff(anchor, document)
        if change["path"].partition(".")[0] not in {"version", "killSwitchVariant", "experiment"}
    ]
    if served_of(config, rules, part.rule_id) != anchored(part) or (is_whole and differing):
        raise Conflict(
            f"The rollback of {config.flag.key!r} would not give what version {part.anchor_version} had "
            f"({', '.join(differing)} differs). Go back to that version in the flag's history.",
            code="anchor_not_reached",
        )
