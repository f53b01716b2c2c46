"""The pages of rollout plans: made, started, watched live, and each act with its consequences in numbers."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from openflagship.engine import moved_buckets
from unfold.decorators import display

from flags.models import FlagConfig
from flags.selectors import configs
from flags.services import Served, served_of
from rollouts import services
from rollouts.admin.calendar import calendar_page
from rollouts.admin.plan_charts import guardrail_intervals, share_over_time
from rollouts.admin.plan_form import PlanForm, is_told_by_form, opened_with
from rollouts.admin.releases import release_page
from rollouts.admin.switch import switch_page
from rollouts.documents import percent_now
from rollouts.models import RolloutPart, RolloutPlan
from rollouts.planning.durations import duration_in_words, parse_duration
from rollouts.planning.ladder import share_of
from rollouts.planning.words import in_words, proposed
from rollouts.selectors import get_plan, open_part
from rollouts.services.conflicts import anchored, served_by
from rollouts.services.rights import require_reach
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids, may_edit
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.routes import About, Route
from tenancy.errors import Conflict
from tenancy.models import Environment
from tenancy.roles import Role

_State = RolloutPlan.State
TONES = {
    _State.DRAFT: "default",
    _State.RUNNING: "info",
    _State.HELD: "warning",
    _State.ROLLED_BACK: "danger",
    _State.COMPLETED: "success",
    _State.CANCELLED: "default",
}


# What happened, as a person reads it.
_WORDS = {
    "started": "Started",
    "step": "Step taken",
    "held": "Held",
    "resumed": "Resumed",
    "advanced": "Advanced by hand",
    "rolled_back": "Rolled back",
    "completed": "Completed",
    "cancelled": "Cancelled",
}


def _after(plan: RolloutPlan) -> str:
    """How long everybody has to have had it elsewhere, in words."""
    duration = parse_duration(plan.after_environment["for"]) if plan.after_environment else None
    return duration_in_words(duration) if duration is not None else ""


def _lead(plan: RolloutPlan) -> RolloutPart:
    part = plan.parts.all()[0]
    part.plan = plan
    return part


def _is_present(plan: RolloutPlan) -> bool:
    """Whether its flag has no later plan: acts go by the flag, and so to the plan that it has now."""
    return get_plan(plan.environment, _lead(plan).config.flag.key).pk == plan.pk


def _flag_in(request: HttpRequest, environment: Environment) -> FlagConfig:
    config = configs(environment).filter(flag__key=request.GET.get("flag", "")).first()
    if config is None:
        raise Http404("Name the flag; its page leads here.")
    return config


def _create(request: HttpRequest, environment: Environment) -> HttpResponse:
    config = _flag_in(request, environment)
    existing = open_part(config)
    if existing is not None:
        return redirect(object_url(existing.plan))
    asked = {name: request.GET.get(name, "") for name in ("variant", "rule", "steps")}
    initial = {"variant": config.flag.variants[-1]["key"], **{name: text for name, text in asked.items() if text}}
    if request.GET.get("propose"):
        initial["steps"] = _proposed(config, initial["variant"], asked["rule"])
    form = PlanForm(sent_data(request), initial=initial, config=config)
    cancel_url = list_url(RolloutPlan, environment=environment)
    return _form_page(request, config, form, title=f"Roll {config.flag.key} out in steps", cancel_url=cancel_url)


def _proposed(config: FlagConfig, variant: str, rule_id: str) -> str:
    """Steps from the share that the variant has in the rule, or in the flag's own rollout."""
    rules = list(config.rules.all())
    rule = next((row.pk for row in rules if str(row.pk) == rule_id), None)
    served = served_of(config, rules, rule)
    return proposed(share_of(_ranges(served), variant) / 100 if served is not None else 0)


def _edit(request: HttpRequest, plan: RolloutPlan) -> HttpResponse:
    if plan.state != _State.DRAFT or not is_told_by_form(plan):
        messages.info(request, "This plan says more than the form can show; change it over the API, as JSON or YAML.")
        return redirect(object_url(plan))
    config = _lead(plan).config
    form = PlanForm(sent_data(request), initial=opened_with(plan), config=config)
    title = f"Edit the plan of {config.flag.key}"
    return _form_page(request, config, form, title=title, cancel_url=object_url(plan))


def _form_page(
    request: HttpRequest, config: FlagConfig, form: PlanForm, *, title: str, cancel_url: str
) -> HttpResponse:
    def perform(sent: dict[str, Any]) -> HttpResponse:
        context, payload = console_context(request), form.payload()
        require_reach(context.principal, config.environment, then=payload["then"])
        saved, _ = services.save_plan(
            actor=context.actor,
            environment=config.environment,
            key=config.flag.key,
            payload=payload,
            version=sent["version"],
            reason=sent["reason"],
        )
        messages.success(request, "Saved. Look at it, and start it.")
        return redirect(object_url(saved))

    return form_page(
        request,
        form,
        perform,
        title=title,
        submit="Save the plan",
        cancel_url=cancel_url,
        intro="Nothing is served before you start it on the next page.",
    )


def _act(name: str, act: Callable[..., RolloutPlan], tone: Any, words: str, said: str) -> Callable[..., HttpResponse]:
    """The page before an act."""

    def page(request: HttpRequest, plan: RolloutPlan) -> HttpResponse:
        part = _lead(plan)
        key = part.config.flag.key

        def perform(sent: dict[str, Any]) -> str:
            if not _is_present(plan):
                raise Conflict(f"{key!r} has another plan meanwhile; this one is history.", code="rollout_in_progress")
            if name == "start":
                require_reach(console_context(request).principal, plan.environment, then=plan.then)
            act(actor=console_context(request).actor, environment=plan.environment, key=key, reason=sent["reason"])
            return said

        return ConfirmPage(
            title=f"{words} {key}?",
            submit=words.partition(" of ")[0],
            act=perform,
            cancel_url=object_url(plan),
            tone=tone,
            intro=consequences(plan, name),
            serves=plan.environment if _is_asked_about(plan, name) else None,
        ).answer(request)

    return page


def _is_asked_about(plan: RolloutPlan, act: str) -> bool:
    """Whether others may have to agree first. A rollback of a plan at work waits for nobody."""
    return act in {"start", "resume", "advance"} or (act == "rollback" and plan.state == _State.COMPLETED)


def consequences(plan: RolloutPlan, act: str) -> str:
    """What the act changes, in numbers."""
    lines = []
    for part in plan.parts.all():
        part.plan = plan
        key, now = part.config.flag.key, percent_now(plan, part)
        if act in {"hold", "cancel"}:
            lines.append(f"{key}: {now:g} % get {part.variant} and keep it; nobody changes.")
            continue
        target = _target(plan, part, act)
        current = served_of(part.config, list(part.config.rules.all()), part.rule_id)
        if target is None or current is None:
            lines.append(f"{key}: {now:g} % get {part.variant}; the first step is {in_words(plan.steps[0])}.")
            continue
        moved = moved_buckets(_ranges(current), _ranges(target)) / 100
        share = sum(end - begin for begin, end, name in _ranges(target) if name == part.variant) / 100
        lines.append(f"{key}: {now:g} % get {part.variant} now, {share:g} % afterwards; {moved:g} % of users change.")
    return " ".join(lines)


def _ranges(served: Served) -> list[list[Any]]:
    return [[0, 10_000, served.variant]] if served.variant else served.ranges


def _target(plan: RolloutPlan, part: RolloutPart, act: str) -> Served | None:
    if act == "rollback":
        return anchored(part)
    if act == "advance" and plan.current_step < len(plan.steps):
        return Served(part.rungs[plan.current_step])
    if act == "resume":
        return Served(part.rungs[plan.current_step - 1]) if plan.current_step else served_by(part)
    return None


ACTS = {
    "start": ("Start the plan of", services.start_plan, "", "Started.", (_State.DRAFT,)),
    "hold": (
        "Hold the plan of",
        services.hold_plan,
        "warn",
        "Held: everybody keeps what they have.",
        (_State.RUNNING,),
    ),
    "resume": (
        "Resume the plan of",
        services.resume_plan,
        "",
        "Resumed: the same people have it.",
        (_State.HELD, _State.ROLLED_BACK),
    ),
    "advance": ("Take the next step of", services.advance_plan, "", "The next step is taken.", (_State.RUNNING,)),
    "rollback": (
        "Roll back",
        services.rollback_plan,
        "danger",
        "Rolled back: people have what they had before.",
        (_State.RUNNING, _State.HELD, _State.COMPLETED),
    ),
    "cancel": (
        "Cancel the plan of",
        services.cancel_plan,
        "warn",
        "Cancelled: the share stays.",
        (_State.DRAFT, _State.RUNNING, _State.HELD, _State.ROLLED_BACK),
    ),
}


@admin.register(RolloutPlan)
class RolloutPlanAdmin(PerEnvironmentAdmin):
    list_display = ["flags", "shown_state", "share", "steps_taken", "next_step"]
    list_filter = ["state"]
    empty = EmptyList(
        "No rollout plans here yet",
        "A plan raises the share of a variant in steps: after a day, after an approval, while guardrails hold.",
        otherwise="It begins on a flag's page: Roll out in steps.",
    )
    routes = (
        Route("calendar/", "calendar", calendar_page, About.ENVIRONMENT),
        Route("switch/", "switch", switch_page, About.ENVIRONMENT),
        Route("release/", "release", release_page, About.ENVIRONMENT, role=Role.EDITOR),
        Route("<path:object_id>/edit/", "edit", _edit, role=Role.EDITOR),
        *(
            Route(f"<path:object_id>/{name}/", name, _act(name, act, tone, words, said), role=Role.EDITOR)
            for name, (words, act, tone, said, _) in ACTS.items()
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RolloutPlan]:
        found = RolloutPlan.objects.filter(environment__in=environment_ids(request))
        return found.select_related("environment__project__organization").prefetch_related(
            "parts__config__flag", "parts__config__environment", "parts__config__rules"
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_edit(request) and bool(request.GET.get("flag"))

    def create_in(self, request: HttpRequest, environment: Environment) -> HttpResponse:
        return _create(request, environment)

    def show(self, request: HttpRequest, thing: RolloutPlan) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        part = _lead(thing)
        shown: dict[str, Any] = {
            "plan": thing,
            "parts": list(thing.parts.all()),
            "tone": TONES[_State(thing.state)],
            "percent": percent_now(thing, part),
            "lines": [
                {"number": number, "words": in_words(step), "is_taken": number <= thing.current_step, "step": step}
                for number, step in enumerate(thing.steps, 1)
            ],
            "history": [{**line, "words": _WORDS.get(line["act"], line["act"])} for line in thing.history],
            "after_duration": _after(thing),
            "share_chart": share_over_time(thing, part),
            "guardrail_chart": guardrail_intervals(thing),
        }
        if request.GET.get("part"):
            return render(request, "rollouts/plan_part.html", shown)
        acts = [
            {"url": object_url(thing, name), "words": words.partition(" of")[0], "tone": tone}
            for name, (words, _, tone, _, states) in ACTS.items()
            if thing.state in states and _is_present(thing)
        ]
        return console_page(
            request,
            "rollouts/plan.html",
            title=str(thing),
            acts=acts if may_edit(request, thing) else [],
            edit_url=object_url(thing, "edit") if thing.state == _State.DRAFT and may_edit(request, thing) else "",
            flag_url=object_url(part.config),
            yaml_url=f"/api/flags/{part.config.flag.key}/rollout-plan?as=yaml&project={thing.environment.project.key}"
            f"&environment={thing.environment.key}",
            **shown,
        )

    @display(description="Flag")
    def flags(self, plan: RolloutPlan) -> str:
        return ", ".join(part.config.flag.key for part in plan.parts.all())

    @display(description="State", label={label: TONES[state] for state, label in _State.choices})  # type: ignore[index]  # its own values
    def shown_state(self, plan: RolloutPlan) -> str:
        return plan.get_state_display()

    @display(description="Share")
    def share(self, plan: RolloutPlan) -> str:
        return f"{percent_now(plan, _lead(plan)):g} %"

    @display(description="Steps")
    def steps_taken(self, plan: RolloutPlan) -> str:
        return f"{plan.current_step} of {len(plan.steps)}"

    @display(description="Next")
    def next_step(self, plan: RolloutPlan) -> str:
        return moment(plan.next_step_at) if plan.next_step_at else plan.waits_because or "none"
