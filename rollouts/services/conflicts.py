"""What a running plan owns: its share, and how users are dealt to it. Others' changes of these are refused."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Greatest
from openflagship.engine import BUCKETS

import audit.services
from audit.actors import Actor, system
from audit.models import Entry
from flags.documents import basis_points_of
from flags.models import Flag, FlagConfig
from flags.services import Served, drafts, served_of
from rollouts.clock import database_now
from rollouts.documents import plan_resource, text_of
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planning.ladder import Ranges
from rollouts.selectors import open_part
from tenancy.errors import Conflict
from tenancy.models import Environment
from tenancy.refusals import refuse_stale

_State = RolloutPlan.State
# The plan that writes at present: it may change what it owns.
_writing: ContextVar[Any] = ContextVar("writing", default=None)
# The flags' configurations whose running plans write together at present.
_written_together: ContextVar[frozenset[int]] = ContextVar("written_together", default=frozenset())
_HOLDING = {"flag.killed": "The flag was killed."}
_ENDING = {"flag.archived": "The flag was archived.", "flag.purged": "The flag was deleted."}


@contextmanager
def writing(plan: RolloutPlan) -> Iterator[None]:
    """Write what the plan owns."""
    token = _writing.set(plan.pk)
    try:
        yield
    finally:
        _writing.reset(token)


@contextmanager
def writing_together(parts: Iterable[RolloutPart]) -> Iterator[None]:
    """Write what running plans own: these are their open parts."""
    token = _written_together.set(frozenset(part.config_id for part in parts))
    try:
        yield
    finally:
        _written_together.reset(token)


def refuse_owned_change(draft: drafts.Draft, **_: Any) -> None:
    """Raise Conflict `rollout_in_progress` where a change of a flag touches what its running plan owns."""
    if draft.config.pk in _written_together.get():
        return
    parts = RolloutPart.objects.filter(config__flag=draft.flag, is_open=True, plan__state=_State.RUNNING)
    for part in parts.exclude(anchor=None).exclude(plan=_writing.get()).select_related("plan"):
        # Variants are the flag's in every environment, all else is the environment's.
        attr = _owned_change(part, draft) if part.config_id == draft.config.pk else None
        if attr == "defaultVariant":
            remedy = f"As the default {part.variant!r} would reach people around it; hold it or cancel it first."
            raise in_progress(part, attr=attr, remedy=remedy)
        if attr is not None:
            raise in_progress(part, attr=attr)
        if gone := gone_variants(part, draft.flag):
            remedy = f"In {part.config.environment.key} it serves {gone[0]!r}; hold it or cancel it there first."
            raise in_progress(part, attr="variants", remedy=remedy)


def _owned_change(part: RolloutPart, draft: drafts.Draft) -> str | None:
    """The field of the environment's configuration that takes from the plan what it owns."""
    expected = served_by(part)
    if not is_dealt_alike(part, draft.config):
        return "bucketBy"
    if served_of(draft.config, draft.rules, part.rule_id) != expected:
        return "rollout" if part.rule_id is None else "rules"
    if is_given_by_default(part, draft.config, expected):
        return "defaultVariant"
    return None


def gone_variants(part: RolloutPart, flag: Flag, *, rolls_back: bool = False) -> list[str]:
    """The variants that the flag has no more, of those that a rollback serves, and unless it `rolls_back` the steps."""
    before = anchored(part)
    ranges = before.ranges if rolls_back else itertools.chain(before.ranges, *part.rungs)
    served = {name for _, _, name in ranges} | ({before.variant} if before.variant else set())
    return sorted(served - {variant["key"] for variant in flag.variants})


def is_given_by_default(part: RolloutPart, config: FlagConfig, served: Served) -> bool:
    """Whether the default variant became the plan's since its start, so that it reaches people around the plan.

    In a rule it reaches those whom its ranges leave over, or would again after a rollback, where the flag's own rollout
    leaves them over as well. In the flag's own rollout it also reaches whoever has no unit.
    """
    became = config.default_variant == part.variant != (part.anchor or {})["defaultVariant"]
    if part.rule_id is None:
        return became
    is_left_over = leaves_over(served) or leaves_over(anchored(part))
    return became and is_left_over and leaves_over(Served(config.allocation))


def refuse_given_by_default(part: RolloutPart, config: FlagConfig, *, code: str) -> None:
    """Raise Conflict where a rollback would return nobody: people would have the variant by default."""
    before = anchored(part)
    if leaves_over(before) and is_given_by_default(part, config, before):
        raise Conflict(
            f"{part.variant!r} is the default variant of {config.flag.key!r} now, so a rollback would leave it with "
            "people. Make another one the default first.",
            code=code,
            attr="defaultVariant",
        )


def leaves_over(served: Served) -> bool:
    """Whether some users are in none of the ranges."""
    return not served.variant and sum(end - start for start, end, _ in served.ranges) < BUCKETS


def is_dealt_alike(part: RolloutPart, config: FlagConfig) -> bool:
    """Whether users are dealt to the flag's ranges as they were when the plan was started."""
    anchor: dict[str, Any] = part.anchor or {}
    return (config.bucket_by, config.salt) == (anchor["bucketBy"], anchor["salt"])


def in_progress(
    part: RolloutPart, *, attr: str | None = None, remedy: str = "It owns this share; hold it or cancel it first."
) -> Conflict:
    """The refusal, with the plan in it. `remedy` names the act that leads on."""
    state = {_State.DRAFT: "is not started", _State.RUNNING: "is at work", _State.HELD: "is held"}
    words = state.get(_State(part.plan.state), "was rolled back")
    refusal = Conflict(
        f"The rollout plan of {part.config.flag.key!r} {words}. {remedy}", code="rollout_in_progress", attr=attr
    )
    refusal.extra["plan"] = plan_resource(part.plan, part)
    return refusal


def refuse_other_version(plan: RolloutPlan, key: str, version: int | None) -> None:
    """Raise Conflict `version_conflict`, with the plan as the flag `key` sees it, unless it is at `version`.

    None skips it. Each step, hold and edit makes a new version; what a worker only looks at makes none.
    """
    if version is None or version == plan.version:
        return
    part = next((row for row in plan.parts.all() if row.config.flag.key == key), None)
    refuse_stale("rollout plan", plan_resource(plan, part), version)


def served_by(part: RolloutPart) -> Served:
    """What the plan has put in its place: the ranges of its step, else what the anchor has."""
    plan = part.plan
    if plan.current_step and plan.state != _State.ROLLED_BACK:
        return Served(part.rungs[plan.current_step - 1])
    return anchored(part)


def anchored(part: RolloutPart) -> Served:
    """What was there before the plan."""
    anchor: dict[str, Any] = part.anchor or {}
    if part.rule_id is None:
        ranges: Ranges = anchor["allocation"]
        return Served(ranges)
    rule = next(row for row in anchor["rules"] if row["id"] == str(part.rule_id))
    return Served(rule.get("allocation", []), rule.get("variant", ""))


def refuse_experiment(config: FlagConfig, **_: Any) -> None:
    """Raise Conflict `rollout_conflict` where an experiment would begin on a flag with a plan that was started."""
    part = open_part(config)
    if part is None or part.plan.state == _State.DRAFT:
        return
    raise Conflict(
        f"A rollout plan is at work on {config.flag.key!r}; complete it or cancel it before an experiment begins.",
        code="rollout_conflict",
        attr="flagKey",
    )


def stop_with_flag(entries: Sequence[Entry], **_: Any) -> None:
    """Hold the running plans of flags that were killed, and cancel those of flags that are served no more."""
    stopped: defaultdict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.entity_type == "flag" and entry.action in {*_HOLDING, *_ENDING}:
            # A flag ends in all environments, and is killed in one.
            where = entry.environment if entry.action in _HOLDING else ""
            stopped[entry.action, entry.organization_id, entry.project, where].append(entry)
    for (action, organization, project, where), those in stopped.items():
        keys = [entry.entity_key for entry in those]
        of_flags = RolloutPart.objects.filter(
            config__flag__key__in=keys,
            config__environment__project__key=project,
            config__environment__project__organization=organization,
        )
        parts = of_flags.filter(is_open=True)
        if action in _HOLDING:
            parts = parts.filter(config__environment__key=where, plan__state=_State.RUNNING)
        first = those[0]
        actor = Actor(first.actor_kind, first.actor_id, first.actor_label, first.credential, first.request_id)
        # Once each, of however many flags it is.
        plans = RolloutPlan.objects.filter(pk__in=parts.values("plan")).order_by("pk")
        found = plans.select_for_update(of=("self",)).select_related("environment__project__organization")
        state = _State.HELD if action in _HOLDING else _State.CANCELLED
        stop_each(actor, found, state, {**_HOLDING, **_ENDING}[action])
        if action == "flag.purged":
            # The parts go with the flag. A plan of other flags keeps theirs.
            others = RolloutPart.objects.filter(plan__in=of_flags.values("plan")).exclude(config__flag__key__in=keys)
            gone = RolloutPlan.objects.filter(pk__in=of_flags.values("plan")).exclude(pk__in=others.values("plan"))
            gone.delete()


def stop(actor: Actor, plan: RolloutPlan, state: RolloutPlan.State, reason: str) -> None:
    """Hold or cancel a locked plan: nobody's variant changes. One that is there already stays as it is."""
    stop_each(actor, [plan], state, reason)


def stop_each(actor: Actor, plans: Iterable[RolloutPlan], state: RolloutPlan.State, reason: str) -> None:
    """As `stop`, with as many queries for many plans of one environment as for one."""
    stopped: defaultdict[Environment, list[RolloutPlan]] = defaultdict(list)
    now, is_held = database_now(), state == _State.HELD
    waits = ("person", reason) if is_held else ("", "")
    same: dict[str, Any] = {"state": state, "due_at": None, "next_step_at": None, "updated_at": now}
    same |= dict(zip(("waits_for", "waits_because"), waits, strict=True)) | ({"stopped_at": now} if is_held else {})
    for plan in plans:
        if plan.state == state or not plan.is_open:
            continue
        for name, value in same.items():
            setattr(plan, name, value)
        if not is_held:
            plan.finished_at = max(now, plan.created_at)
        note(plan, "held" if is_held else "cancelled", reason, at=now)
        plan.version += 1
        stopped[plan.environment].append(plan)
    those = [plan for found in stopped.values() for plan in found]
    ended = {} if is_held else {"finished_at": Greatest("created_at", Value(now))}
    RolloutPlan.objects.filter(pk__in=[plan.pk for plan in those]).update(**same, **ended, version=F("version") + 1)
    RolloutPlan.objects.bulk_update(those, ["history", "verdicts"], batch_size=100)
    parts: defaultdict[Any, list[RolloutPart]] = defaultdict(list)
    for part in RolloutPart.objects.filter(plan__in=those).select_related("config__flag"):
        parts[part.plan_id].append(part)
    if not is_held:
        RolloutPart.objects.filter(plan__in=those).update(is_open=False)
    action = "flag.rollout_held" if is_held else "flag.rollout_cancelled"
    for environment, found in stopped.items():
        acts = [act for plan in found for act in events_of(plan, parts[plan.pk], action, reason)]
        audit.services.record_each(actor=actor, at=environment, acts=acts)


def note(plan: RolloutPlan, act: str, why: str = "", *, step: int | None = None, at: Any = None) -> None:
    """Add a line to the plan's history, which its page shows."""
    number = plan.current_step if step is None else step
    percent = plan.steps[number - 1]["percent"] if number else None
    moment = text_of(at or database_now())
    plan.history = [*plan.history, {"at": moment, "act": act, "step": number, "percent": percent, "why": why}]


def record_events(
    actor: Actor, plan: RolloutPlan, action: str, reason: str = "", steps: Sequence[tuple[int, Any]] = ()
) -> None:
    """Append an event for each flag of the plan; with `steps`, one for each of them and when it was due."""
    parts = list(plan.parts.select_related("config__flag"))
    audit.services.record_each(actor=actor, at=plan.environment, acts=events_of(plan, parts, action, reason, steps))


def events_of(
    plan: RolloutPlan,
    parts: Sequence[RolloutPart],
    action: str,
    reason: str = "",
    steps: Sequence[tuple[int, Any]] = (),
) -> list[audit.services.Act]:
    return [
        audit.services.Act(
            action,
            part.config.flag.key,
            after=step_payload(plan, part, number, due_at),
            reason=reason,
        )
        for number, due_at in steps or [(plan.current_step, plan.entered_at)]
        for part in parts
    ]


def step_payload(plan: RolloutPlan, part: RolloutPart, number: int, due_at: Any) -> dict[str, Any]:
    share = basis_points_of(plan.steps[number - 1]["percent"]) if number else None
    return {
        "plan": str(plan.pk),
        "variant": part.variant,
        "ruleId": str(part.rule_id) if part.rule_id else None,
        "step": number,
        "steps": len(plan.steps),
        "percent": None if share is None else share / 100,
        "state": plan.state,
        "dueAt": text_of(due_at),
        "nextDueAt": text_of(plan.next_step_at),
    }


AUTOMATIC = system("rollout plan")
