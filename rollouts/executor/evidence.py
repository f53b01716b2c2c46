"""What is known of the step that a plan stands on: users, guardrails, and the environment that goes first."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from analytics import selectors as events
from flags.models import FlagConfig
from flags.versions.history import flag_changes
from rollouts.guardrails import judge
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planner import Verdicts
from rollouts.planning.durations import parse_duration
from rollouts.planning.ladder import share_of
from rollouts.planning.plan_fields import guardrails_on, judgements_in
from tenancy.errors import Unavailable

_FULL = 10_000
# So many users are counted between two looks at the clock.
_LOOKS_AT_CLOCK = 10_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """For the planner, and as the plan's page shows it."""

    verdicts: Verdicts
    shown: list[dict[str, Any]] = field(default_factory=list)


def gather(plan: RolloutPlan, now: datetime) -> Evidence:
    """Read it from the event store. The flag that has the fewest users, or does the worst, speaks for the plan."""
    since = plan.written_at or plan.created_at
    asked = plan.steps[plan.current_step].get("minimumUsers", 0) if plan.current_step < len(plan.steps) else 0
    watched = guardrails_on(plan.steps, plan.current_step)
    # First: what is read of the events is open until this ends, and a failure must not keep its transaction.
    ready = plan.after_environment is None or all(
        _is_ready(part, plan.after_environment, now) for part in plan.parts.all()
    )
    users: list[int] = []
    found, shown = [], []
    for part in plan.parts.all():
        if asked or watched:
            read = _arms(part, since, now)
            arms = list(read) if watched else []
            # More than are asked for nobody needs to know of.
            having = islice((unit for unit, variant, _ in (arms or read) if variant == part.variant), asked)
            users.append(sum(1 for _ in having))
        for guardrail in watched:
            verdict, line = judge(
                part, guardrail, arms, since=since, now=now, judgements=judgements_in(plan.steps) * _flags(plan)
            )
            found.append(verdict)
            shown.append(line)
    return Evidence(Verdicts(min(users, default=0), found, ready), shown)


def users_exposed(part: RolloutPart, since: datetime, until: datetime, *, seconds: float) -> tuple[int, int]:
    """Users whom the plan's place gave its variant alone in that time, and those whom it gave another one alone.

    They are those that a step's minimum and its guardrails count. Raises Unavailable where it takes longer.
    """
    give_up_at = time.monotonic() + seconds
    treated = rest = 0
    for count, (_, variant, _) in enumerate(_arms(part, since, until)):
        if variant == part.variant:
            treated += 1
        else:
            rest += 1
        if not count % _LOOKS_AT_CLOCK and time.monotonic() > give_up_at:
            raise Unavailable(f"Counting the users took longer than {seconds:g} s.")
    return treated, rest


def _arms(part: RolloutPart, since: datetime, until: datetime) -> Iterator[tuple[str, str, datetime]]:
    rule = str(part.rule_id) if part.rule_id else ""
    return events.flag_arms(part.config.environment_id, part.config.flag.key, since, until, rule)


def _flags(plan: RolloutPlan) -> int:
    return len(plan.parts.all())


def _is_ready(part: RolloutPart, asked: Mapping[str, Any], now: datetime) -> bool:
    """Whether everybody there has had the variant for as long as the plan asks, without a kill or a rollback."""
    project = part.config.environment.project_id
    there = FlagConfig.objects.filter(
        environment__project=project, environment__key=asked["environment"], flag=part.config.flag_id
    ).select_related("environment", "flag")
    config = there.first()
    duration = parse_duration(asked["for"])
    if config is None or duration is None:
        return False
    since = None
    for step in flag_changes(config.environment, config.flag.key).iterator(chunk_size=50):
        if not _gives_all(step.document, part.variant):
            break
        since = step.created_at
        if since + duration <= now:
            return True
    return since is not None and since + duration <= now


def _gives_all(document: Mapping[str, Any] | None, variant: str) -> bool:
    """Whether the flag's own rollout, or its default, gives the variant to everybody whom no rule decides."""
    if document is None or not document["enabled"] or document["killSwitchVariant"]:
        return False
    if document["allocation"]:
        is_default = document["defaultVariant"] == variant
        covered = sum(end - start for start, end, _ in document["allocation"])
        share = share_of(document["allocation"], variant)
        return share == _FULL or (is_default and share == covered)
    return bool(document["defaultVariant"] == variant)
