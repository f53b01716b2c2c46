"""The pages before an act on a plan: its consequences in numbers, and what happened to the plan meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from openflagship.engine import moved_buckets

from flags.services import Served, served_of, version_log
from rollouts import services
from rollouts.documents import percent_now
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planning.words import in_words
from rollouts.selectors import get_plan
from rollouts.services.acts import step_reached
from rollouts.services.conflicts import anchored, served_by
from rollouts.services.rights import require_reach
from tenancy.console_kit.confirm import ConfirmPage, ReasonForm
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import object_url
from tenancy.errors import Conflict

_State = RolloutPlan.State
# What happened, as a person reads it.
WORDS = {
    "started": "Started",
    "step": "Step taken",
    "held": "Held",
    "resumed": "Resumed",
    "advanced": "Advanced by hand",
    "rolled_back": "Rolled back",
    "completed": "Completed",
    "cancelled": "Cancelled",
}


class _ActForm(ReasonForm):
    """The plan as the page showed it: its version, and how many lines its history had."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    lines = forms.IntegerField(widget=forms.HiddenInput, min_value=0)


@dataclass(frozen=True, slots=True)
class PlanAct:
    """An act that a person may do to a plan in one of the states; `words` lead to the flag's key."""

    name: str
    words: str
    service: Callable[..., RolloutPlan]
    said: str
    states: Sequence[RolloutPlan.State]
    tone: Literal["", "warn", "danger"] = ""

    @property
    def button(self) -> str:
        return self.words.partition(" of")[0]

    def refusal(self, plan: RolloutPlan) -> str:
        """Why it cannot be done to the plan now; empty: it can."""
        key = key_of(plan)
        if not is_present(plan):
            return f"{key} has another plan meanwhile; this one is history."
        if plan.state not in self.states:
            wanted = " or ".join(state.label.lower() for state in self.states)
            now = plan.get_state_display().lower()
            return f"The plan of {key} is {now}; “{self.button}” is for one that is {wanted}."
        return ""

    def page(self, request: HttpRequest, plan: RolloutPlan) -> HttpResponse:
        """Ask first. What happens to the plan while somebody reads the page is shown before anything is done."""
        key = key_of(plan)
        if refusal := self.refusal(plan):
            return _led_back(request, plan, refusal)
        seen: dict[str, Any] = {}

        def show() -> None:
            seen.update(version=plan.version, lines=len(plan.history))

        def perform(sent: dict[str, Any]) -> str | HttpResponse:
            context = console_context(request)
            with transaction.atomic():
                # Whoever changes a plan has these locks.
                version_log.lock_project(plan.environment.project)
                try:
                    plan.refresh_from_db()
                except RolloutPlan.DoesNotExist as error:
                    raise Http404 from error
                if refusal := self.refusal(plan):
                    return _led_back(request, plan, refusal)
                if sent["version"] != plan.version:
                    show()
                    raise Conflict(_meanwhile(plan, sent["lines"]), code="version_conflict")
                if self.name == "start":
                    require_reach(context.principal, plan.environment, then=plan.then)
                self.service(
                    actor=context.actor,
                    environment=plan.environment,
                    key=key,
                    reason=sent["reason"],
                    version=sent["version"],
                )
            return self.said

        show()
        # Told where it is shown, of what the plan is by then.
        intro: Any = SimpleLazyObject(lambda: consequences(plan, self.name))
        return ConfirmPage(
            title=f"{self.words} {key}?",
            submit=self.button,
            act=perform,
            cancel_url=object_url(plan),
            tone=self.tone,
            intro=intro,
            form=_ActForm,
            initial=seen,
            serves=plan.environment if _is_asked_about(plan, self.name) else None,
        ).answer(request)


def lead_of(plan: RolloutPlan) -> RolloutPart:
    part = plan.parts.all()[0]
    part.plan = plan
    return part


def key_of(plan: RolloutPlan) -> str:
    """The key of the flag that leads the plan."""
    return lead_of(plan).config.flag.key


def is_present(plan: RolloutPlan) -> bool:
    """Whether its flag has no later plan: acts go by the flag, and so to the plan that it has now."""
    return get_plan(plan.environment, key_of(plan)).pk == plan.pk


def _led_back(request: HttpRequest, plan: RolloutPlan, why: str) -> HttpResponse:
    messages.warning(request, why)
    return redirect(object_url(plan))


def _meanwhile(plan: RolloutPlan, lines: int) -> str:
    """What happened to the plan since its history had so many lines."""
    happened = ", ".join(_told(line) for line in plan.history[lines:])
    said = f": {happened}" if happened else ""
    return f"The plan was changed while you read this page{said}. The page shows what is there now; press again."


def _told(line: Mapping[str, Any]) -> str:
    words = WORDS.get(line["act"], line["act"]).lower()
    return words if line["percent"] is None else f"{words} ({line['percent']:g} %)"


def _is_asked_about(plan: RolloutPlan, act: str) -> bool:
    """Whether others may have to agree first. A rollback of a plan at work waits for nobody."""
    return act in {"start", "resume", "advance"} or (act == "rollback" and plan.state == _State.COMPLETED)


def consequences(plan: RolloutPlan, act: str) -> str:
    """What the act changes, in numbers."""
    lines = []
    for part in plan.parts.all():
        part.plan = plan
        key, now = part.config.flag.key, percent_now(part)
        if act in {"hold", "cancel"}:
            lines.append(f"{key}: {now:g} % get {part.variant} and keep it; nobody changes.")
            continue
        target = _target(plan, part, act)
        current = served_of(part.config, list(part.config.rules.all()), part.rule_id)
        if target is None or current is None:
            lines.append(f"{key}: {now:g} % get {part.variant}; the first step is {in_words(plan.steps[0])}.")
            continue
        moved = moved_buckets(ranges_of(current), ranges_of(target)) / 100
        share = sum(end - begin for begin, end, name in ranges_of(target) if name == part.variant) / 100
        lines.append(f"{key}: {now:g} % get {part.variant} now, {share:g} % afterwards; {moved:g} % of users change.")
    return " ".join(lines)


def ranges_of(served: Served) -> list[list[Any]]:
    return [[0, 10_000, served.variant]] if served.variant else served.ranges


def _target(plan: RolloutPlan, part: RolloutPart, act: str) -> Served | None:
    if act == "rollback":
        return anchored(part)
    if act in {"advance", "resume"}:
        step = step_reached(plan, act, timezone.now())
        return Served(part.rungs[step - 1]) if step else served_by(part)
    return None


ACTS = (
    PlanAct("start", "Start the plan of", services.start_plan, "Started.", [_State.DRAFT]),
    PlanAct(
        "hold",
        "Hold the plan of",
        services.hold_plan,
        "Held: everybody keeps what they have.",
        [_State.RUNNING],
        "warn",
    ),
    PlanAct(
        "resume",
        "Resume the plan of",
        services.resume_plan,
        "Resumed: the same people have it.",
        [_State.HELD, _State.ROLLED_BACK],
    ),
    PlanAct("advance", "Take the next step of", services.advance_plan, "The next step is taken.", [_State.RUNNING]),
    PlanAct(
        "rollback",
        "Roll back",
        services.rollback_plan,
        "Rolled back: people have what they had before.",
        [_State.RUNNING, _State.HELD, _State.COMPLETED],
        "danger",
    ),
    PlanAct(
        "cancel",
        "Cancel the plan of",
        services.cancel_plan,
        "Cancelled: the share stays.",
        [_State.DRAFT, _State.RUNNING, _State.HELD, _State.ROLLED_BACK],
        "warn",
    ),
)


def acts_on(plan: RolloutPlan) -> list[dict[str, Any]]:
    """The buttons of the plan's page."""
    offered = [act for act in ACTS if plan.state in act.states]
    if not offered or not is_present(plan):
        return []
    return [{"url": object_url(plan, act.name), "words": act.button, "tone": act.tone} for act in offered]
