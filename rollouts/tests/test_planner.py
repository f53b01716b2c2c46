"""The planner against a closed form: random plans, looked at at random times, late, twice, and by clocks that jump."""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest

from rollouts.planner import Act, Outcome, Plan, Step, Verdict, Verdicts, Wait, due, foreseen

START = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# All of them are tried before a release: ROLLOUT_EXAMPLES=10000.
EXAMPLES = int(os.environ.get("ROLLOUT_EXAMPLES", "300"))


def _random_steps(dice: random.Random, *, is_gated: bool) -> list[Step]:
    count = dice.randint(1, 20)
    steps, at = [], START
    for index in range(count):
        kind = dice.random()
        at += timedelta(minutes=dice.randint(0, 2000))
        steps.append(
            Step(
                after=timedelta(minutes=dice.randint(0, 2000)) if kind < 0.7 else None,
                at=at if kind > 0.6 else None,
                needs_approval=dice.random() < 0.1,
                minimum_users=dice.choice([0, 0, 10]) if is_gated and index else 0,
                is_guarded=is_gated and dice.random() < 0.2,
            )
        )
    return steps


def _random_looks(dice: random.Random) -> list[datetime]:
    """Mostly forward; a clock may go back, workers may look twice, and nobody may look for days."""
    moment, looks = START, []
    for _ in range(dice.randint(1, 25)):
        moment += timedelta(minutes=dice.choice([0, 1, 10, 600, 4000]) * dice.random())
        looks += [moment, *([moment - timedelta(minutes=300)] if dice.random() < 0.2 else [])]
    return looks


def _closed_form(steps: list[Step], until: datetime, approvals: dict[int, datetime]) -> int:
    """Step i begins at the latest, over every j up to i, of what fixes j plus the durations from there to i."""
    fixed = [START]
    for number, step in enumerate(steps, 1):
        if step.needs_approval and approvals.get(number, until + DAY) > until:
            return number - 1
        instants = [instant for instant in (step.at, approvals.get(number) if step.needs_approval else None) if instant]
        fixed.append(max(instants, default=START))
        durations = [each.after or timedelta() for each in steps[:number]]
        begins = max(fixed[j] + sum(durations[j:], timedelta()) for j in range(number + 1))
        if begins > until:
            return number - 1
    return len(steps)


def test_due__random_plans__equal_the_closed_form() -> None:
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        steps, looks = _random_steps(dice, is_gated=False), _random_looks(dice)
        approvals = {
            number: START + timedelta(minutes=dice.randint(0, 20_000))
            for number, step in enumerate(steps, 1)
            if step.needs_approval and dice.random() < 0.8
        }
        plan, taken = Plan(steps, 0, START), []
        for now in looks:
            given = {number: at for number, at in approvals.items() if at <= now}
            state = due(plan, now, given, Verdicts())
            taken += [passed.number for passed in state.passed]
            plan = Plan(steps, state.step, state.entered_at)
            assert state.is_complete == (state.step == len(steps))
        assert plan.current == _closed_form(steps, max(looks), approvals), f"seed {seed}"
        # Each step once, in order.
        assert taken == list(range(1, plan.current + 1)), f"seed {seed}"


def test_foreseen__random_plans__is_what_is_due_at_those_times_and_not_before() -> None:
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        plan = Plan(_random_steps(dice, is_gated=dice.random() < 0.5), 0, START)
        approvals = {number: START for number in range(1, 21) if dice.random() < 0.5}
        coming = foreseen(plan, approvals, most=dice.choice([2, 100]))
        for passed in coming:
            assert due(plan, passed.at, approvals, None).step >= passed.number, f"seed {seed}"
            assert due(plan, passed.at - timedelta(seconds=1), approvals, None).step < passed.number, f"seed {seed}"
        at_last = due(plan, START + timedelta(days=1000), approvals, None)
        assert len(coming) == min(at_last.step, 2) or len(coming) == at_last.step, f"seed {seed}"


def test_due__random_gates__are_never_passed_unseen() -> None:
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        steps, looks = _random_steps(dice, is_gated=True), sorted(_random_looks(dice))
        plan, approvals = Plan(steps, 0, START), {}
        for now in looks:
            if dice.random() < 0.5:
                approvals[plan.current + 1] = now
            users = dice.choice([0, 9, 10])
            outcome = dice.choice([Outcome.HOLDS, Outcome.WAITS])
            watched = [Verdict("errors", outcome)] if plan.is_watched else []
            known = Verdicts(users, watched)
            state = due(plan, now, approvals, known)
            for passed in state.passed:
                step = steps[passed.number - 1]
                assert passed.at <= now
                assert not step.needs_approval or approvals[passed.number] <= passed.at
                assert passed.at >= (step.at or START)
                if plan.needs_evidence(passed.number):
                    # It stood on the step before, and was seen to hold there.
                    assert passed.number == plan.current + 1
                    assert users >= step.minimum_users
                    assert all(verdict.outcome is Outcome.HOLDS for verdict in watched)
            if not state.is_complete and state.waits_for is not Wait.APPROVAL:
                assert state.next_due_at is not None
            plan = Plan(steps, state.step, state.entered_at)


@pytest.mark.parametrize(
    ("found", "act"),
    [
        ([Verdict("a", Outcome.VIOLATED, Act.HOLD), Verdict("b", Outcome.VIOLATED, Act.ROLLBACK)], Act.ROLLBACK),
        ([Verdict("a", Outcome.VIOLATED, Act.KILL), Verdict("b", Outcome.NO_DATA, Act.ROLLBACK)], Act.KILL),
        ([Verdict("a", Outcome.HOLDS, Act.KILL), Verdict("b", Outcome.NO_DATA, Act.KILL)], Act.HOLD),
        ([Verdict("a", Outcome.WAITS, Act.KILL)], None),
    ],
    ids=["strictest", "kill", "no-data", "waits"],
)
def test_due__guardrails__ask_for_the_strictest_act(found: list[Verdict], act: Act | None) -> None:
    plan = Plan([Step(is_guarded=True), Step(after=DAY)], 1, START)
    state = due(plan, START + 2 * DAY, {}, Verdicts(0, found))
    assert (state.act, state.step, list(state.passed)) == (act, 1, [])


def test_due__nobody_has_asked_the_data__passes_no_gate() -> None:
    guarded = [Step(), Step(is_guarded=True), Step(minimum_users=5)]
    for current, waits_for in ((1, Wait.GUARDRAIL), (2, Wait.USERS)):
        state = due(Plan(guarded, current, START), START + DAY, {}, None)
        assert (state.step, state.waits_for, list(state.passed)) == (current, waits_for, [])
    assert due(Plan([Step(is_guarded=True), Step(after=DAY)], 0, START), START, {}, None).step == 1


def test_due__first_step_waits_for_an_environment__until_it_is_ready() -> None:
    plan = Plan([Step(needs_environment=True), Step(after=DAY)], 0, START)
    assert due(plan, START, {}, Verdicts()).waits_for is Wait.ENVIRONMENT
    assert due(plan, START + DAY, {}, Verdicts(is_environment_ready=True)).step == 1


def test_due__random_plans_that_were_kept_back__begin_the_next_step_then_and_count_the_others_from_it() -> None:
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        steps = _random_steps(dice, is_gated=False)
        current = dice.randrange(len(steps))
        kept_until, now = (START + timedelta(minutes=dice.randint(0, 20_000)) for _ in range(2))
        approvals = {number: START for number in range(1, 21) if dice.random() < 0.8}
        state = due(Plan(steps, current, START, kept_until), now, approvals, None)
        if not state.passed:
            assert state.entered_at == START, f"seed {seed}"
            continue
        first = state.passed[0]
        assert first.at >= kept_until, f"seed {seed}"
        # From then on it is the plan that entered its step then.
        after = due(Plan(steps, first.number, first.at), now, approvals, None)
        assert (state.step, state.entered_at) == (after.step, after.entered_at), f"seed {seed}"


def test_due__kept_back_from_a_step_that_was_due__does_not_leap_over_the_next() -> None:
    daily = [Step(), Step(after=DAY), Step(at=START + DAY, after=DAY), Step(after=DAY)]
    on_again = START + 9 * DAY
    state = due(Plan(daily, 1, START, on_again), on_again, {}, None)
    assert (state.step, state.entered_at, state.next_due_at) == (2, on_again, on_again + DAY)
    # A worker that is late itself goes to the step that is due.
    late = due(Plan(daily, 1, START, on_again), on_again + DAY, {}, None)
    assert (late.step, late.entered_at) == (3, on_again + DAY)
