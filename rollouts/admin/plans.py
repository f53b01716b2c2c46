"""The pages of rollout plans: made, started, watched live, and each act with its consequences in numbers."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from unfold.decorators import display

from flags.models import FlagConfig
from flags.selectors import configs
from flags.services import served_of
from rollouts import services
from rollouts.admin.calendar import calendar_page
from rollouts.admin.plan_acts import ACTS, WORDS, acts_on, lead_of, ranges_of
from rollouts.admin.plan_charts import guardrail_intervals, share_over_time
from rollouts.admin.plan_form import PlanForm, is_told_by_form, opened_with
from rollouts.admin.plan_users import users_part
from rollouts.admin.releases import release_page
from rollouts.admin.switch import switch_page
from rollouts.documents import percent_now
from rollouts.models import RolloutPlan
from rollouts.planning.durations import duration_in_words, parse_duration
from rollouts.planning.ladder import share_of
from rollouts.planning.words import in_words, proposed
from rollouts.selectors import open_part
from rollouts.services.rights import require_reach
from tenancy.console_kit.admin import EmptyList
from tenancy.console_kit.context import console_context
from tenancy.console_kit.environments import PerEnvironmentAdmin, environment_ids, may_edit
from tenancy.console_kit.formats import moment
from tenancy.console_kit.forms import form_page, sent_data
from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.console_kit.routes import About, Route
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


def _after(plan: RolloutPlan) -> str:
    """How long everybody has to have had it elsewhere, in words."""
    duration = parse_duration(plan.after_environment["for"]) if plan.after_environment else None
    return duration_in_words(duration) if duration is not None else ""


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
    return proposed(share_of(ranges_of(served), variant) / 100 if served is not None else 0)


def _edit(request: HttpRequest, plan: RolloutPlan) -> HttpResponse:
    if plan.state != _State.DRAFT or not is_told_by_form(plan):
        messages.info(request, "This plan says more than the form can show; change it over the API, as JSON or YAML.")
        return redirect(object_url(plan))
    config = lead_of(plan).config
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
        is_draft = saved.state == _State.DRAFT
        messages.success(request, "Saved. Look at it, and start it." if is_draft else "It is there already.")
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
        *(Route(f"<path:object_id>/{act.name}/", act.name, act.page, role=Role.EDITOR) for act in ACTS),
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
        if request.GET.get("users"):
            return users_part(request, thing)
        part = lead_of(thing)
        shown: dict[str, Any] = {
            "plan": thing,
            "parts": list(thing.parts.all()),
            "tone": TONES[_State(thing.state)],
            "percent": percent_now(part),
            "lines": [
                {"number": number, "words": in_words(step), "is_taken": number <= thing.current_step, "step": step}
                for number, step in enumerate(thing.steps, 1)
            ],
            "history": [{**line, "words": WORDS.get(line["act"], line["act"])} for line in thing.history],
            "after_duration": _after(thing),
            "share_chart": share_over_time(thing, part),
            "guardrail_chart": guardrail_intervals(thing),
        }
        if request.GET.get("part"):
            return render(request, "rollouts/plan_part.html", shown)
        return console_page(
            request,
            "rollouts/plan.html",
            title=str(thing),
            acts=acts_on(thing) if may_edit(request, thing) else [],
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
        return f"{percent_now(lead_of(plan)):g} %"

    @display(description="Steps")
    def steps_taken(self, plan: RolloutPlan) -> str:
        return f"{plan.current_step} of {len(plan.steps)}"

    @display(description="Next")
    def next_step(self, plan: RolloutPlan) -> str:
        return moment(plan.next_step_at) if plan.next_step_at else plan.waits_because or "none"
