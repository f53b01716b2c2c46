"""The designer: a draft put together on one page, with sample size and duration computed as one types."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from experiments import planning, selectors, services
from experiments.documents import experiment_resource
from experiments.models import Experiment, ExperimentMetric
from flags import services as flag_services
from flags.admin import conditions
from flags.admin.form import ConditionRow, FlagForm, condition_rows, conditions_of
from flags.models import Layer
from flags.selectors import get_config, search_configs
from tenancy.admin import visit
from tenancy.errors import NotFound, Problem, ServiceError
from tenancy.models import Environment

if TYPE_CHECKING:
    from experiments.admin.experiments import ExperimentAdmin

_GUARDRAIL_ROWS = 3
_PLAN = {"baseline": "", "effect": "10", "power": "80"}
_TEXTS = ("name", "hypothesis", "flagKey", "controlVariant", "split", "trafficPercent", "layer", "primaryMetric")
_MORE_TEXTS = ("newEvent", "method", "alpha", "plannedUsers", "endsAt")


@dataclass(slots=True)
class Design:
    """What the page shows and sends; texts as they are typed, by the API's names."""

    texts: dict[str, str] = field(default_factory=dict)
    secondary: list[str] = field(default_factory=list)
    guardrails: list[dict[str, str]] = field(default_factory=list)
    audience: list[ConditionRow] = field(default_factory=list)
    is_cuped: bool = False
    auto_pause: bool = False
    plan: dict[str, str] = field(default_factory=lambda: dict(_PLAN))
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "Design":
        return cls(texts={"trafficPercent": "100", "alpha": "0.05", "method": Experiment.Method.ALWAYS_VALID})

    @classmethod
    def of(cls, experiment: Experiment) -> "Design":
        resource = experiment_resource(experiment)
        analysis = resource["analysis"]
        audience = (resource["audience"] or {}).get("all", [])
        return cls(
            texts={
                "name": resource["name"],
                "hypothesis": resource["hypothesis"],
                "flagKey": resource["flagKey"],
                "controlVariant": resource["controlVariant"],
                "trafficPercent": str(resource["trafficPercent"]),
                "layer": resource["layer"] or "",
                "primaryMetric": resource["primaryMetric"],
                "method": analysis["method"],
                "alpha": str(analysis["alpha"]),
                "plannedUsers": str(analysis["plannedUsers"] or ""),
                "endsAt": resource["endsAt"].strftime("%Y-%m-%dT%H:%M") if resource["endsAt"] else "",
            },
            secondary=resource["secondaryMetrics"],
            guardrails=[{**row, "marginPercent": str(row["marginPercent"])} for row in resource["guardrails"]],
            audience=condition_rows([item for item in audience if "operator" in item]),
            is_cuped=analysis["cuped"],
            auto_pause=resource["autoPauseOnSrm"],
        )

    @classmethod
    def sent(cls, post: QueryDict) -> "Design":
        rules = FlagForm.sent(post).rules
        return cls(
            texts={name: (post.get(name) or "").strip() for name in (*_TEXTS, *_MORE_TEXTS)},
            secondary=post.getlist("secondaryMetrics"),
            guardrails=[
                {
                    name: (post.get(f"guardrail-{row}-{name}") or "").strip()
                    for name in ("metric", "marginPercent", "action")
                }
                for row in range(_GUARDRAIL_ROWS)
            ],
            audience=[row for rule in rules for row in rule.conditions if row.attribute or row.value],
            is_cuped="cuped" in post,
            auto_pause="autoPauseOnSrm" in post,
            plan={name: (post.get(f"plan-{name}") or "").strip() for name in _PLAN},
        )

    def payload(self) -> tuple[dict[str, Any], list[Problem]]:
        """Return what the services take, and what cannot be read."""
        problems: list[Problem] = []
        texts = self.texts
        audience = conditions_of(self.audience, "audience", problems)
        payload: dict[str, Any] = {
            "name": texts["name"],
            "hypothesis": texts["hypothesis"],
            "flagKey": texts["flagKey"],
            "primaryMetric": texts["primaryMetric"],
            "trafficPercent": _number(texts["trafficPercent"] or "100", "trafficPercent", problems),
            "layer": texts["layer"] or None,
            "audience": {"all": audience} if audience else None,
            "secondaryMetrics": self.secondary,
            "guardrails": [
                {
                    "metric": row["metric"],
                    "marginPercent": _number(row["marginPercent"] or "0", f"guardrails[{index}]", problems),
                    "action": row["action"] or ExperimentMetric.Action.WARN,
                }
                for index, row in enumerate(row for row in self.guardrails if row["metric"])
            ],
            "analysis": {
                "method": texts["method"],
                "alpha": _number(texts["alpha"] or "0.05", "analysis.alpha", problems),
                "cuped": self.is_cuped,
                "plannedUsers": _whole(texts["plannedUsers"], "analysis.plannedUsers", problems),
            },
            "autoPauseOnSrm": self.auto_pause,
            "endsAt": _moment(texts["endsAt"], problems),
        }
        if texts["controlVariant"]:
            payload["controlVariant"] = texts["controlVariant"]
        return payload, problems

    def place(self, problems: list[Problem]) -> None:
        for problem in problems:
            path = (
                re.sub(r"[.\[].*", "", problem.attr or "") if "analysis" not in (problem.attr or "") else problem.attr
            )
            self.errors.setdefault((path or "").replace("analysis.", ""), []).append(problem.detail)


def create(model_admin: "ExperimentAdmin", request: HttpRequest) -> HttpResponse:
    environment = visit(request).environment
    if environment is None:
        raise Http404("There is no environment to experiment in.")
    design = Design.empty()
    design.texts["flagKey"] = request.GET.get("flag", "")
    status = 200
    if request.method == "POST":
        design, status = Design.sent(request.POST), 422
        experiment = _create(request, environment, design)
        if experiment is not None:
            messages.success(request, f"{experiment.name} is a draft. Look it over, and start it.")
            return redirect("admin:experiments_experiment_change", experiment.pk)
    return _render(model_admin, request, environment, design, status=status, title=f"New experiment in {environment}")


def _create(request: HttpRequest, environment: Environment, design: Design) -> Experiment | None:
    payload, problems = design.payload()
    if not problems:
        actor = visit(request).actor
        try:
            with transaction.atomic():
                if design.texts["newEvent"]:
                    payload["primaryMetric"] = _new_metric(request, environment, design.texts["newEvent"])
                if design.texts["split"] == "even":
                    _split_evenly(request, environment, payload["flagKey"])
                return services.create_experiment(actor=actor, environment=environment, payload=payload)
        except ServiceError as error:
            problems = error.problems
    design.place(problems)
    return None


def _new_metric(request: HttpRequest, environment: Environment, event: str) -> str:
    """Users with at least one such event, named after it; the one that is there where there is one."""
    key = re.sub(r"[^A-Za-z0-9._-]+", "-", event).strip("-._")[:100] or "metric"
    metric, _ = services.create_metric(
        actor=visit(request).actor,
        environment=environment,
        payload={"key": key, "name": event, "type": "binary", "eventName": event},
    )
    return str(metric.key)


def _split_evenly(request: HttpRequest, environment: Environment, key: str) -> None:
    """Give each variant the same share, to the hundredth of a percent; the first take what does not divide."""
    config = get_config(environment, key)
    names = [variant["key"] for variant in config.flag.variants]
    share, extra = divmod(10_000, len(names))
    rollout = [{"variant": name, "percent": (share + (index < extra)) / 100} for index, name in enumerate(names)]
    flag_services.update_flag(
        actor=visit(request).actor,
        environment=environment,
        key=key,
        payload={"rollout": rollout, "enabled": True},
        version=None,
        reason="Even split for an experiment",
    )


def edit(model_admin: "ExperimentAdmin", request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Change a draft; what runs is changed by a restart."""
    if experiment.status != Experiment.Status.DRAFT:
        messages.info(request, "What has started keeps its design; restart it for another one.")
        return redirect("admin:experiments_experiment_change", experiment.pk)
    design, status, version = Design.of(experiment), 200, experiment.version
    if request.method == "POST":
        design, status = Design.sent(request.POST), 422
        sent = request.POST.get("version", "")
        version = int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 19 else 0
        payload, problems = design.payload()
        if not problems:
            try:
                services.update_experiment(
                    actor=visit(request).actor,
                    environment=experiment.environment,
                    pk=experiment.pk,
                    payload=payload,
                    version=version,
                    is_partial=False,
                )
            except ServiceError as error:
                problems = error.problems
                if problems[0].code == "version_conflict":
                    status, version = 409, experiment.version
            else:
                messages.success(request, "Saved.")
                return redirect("admin:experiments_experiment_change", experiment.pk)
        design.place(problems)
    return _render(
        model_admin, request, experiment.environment, design, status=status, title=f"Edit {experiment.name}",
        experiment=experiment, version=version,
    )  # fmt: skip


def _render(
    model_admin: "ExperimentAdmin",
    request: HttpRequest,
    environment: Environment,
    design: Design,
    *,
    status: int,
    title: str,
    **shown: Any,
) -> HttpResponse:
    design.guardrails += [
        {"metric": "", "marginPercent": "", "action": "warn"} for _ in range(_GUARDRAIL_ROWS - len(design.guardrails))
    ]
    configs = search_configs(environment)
    return model_admin.page(
        request,
        "experiments/designer.html",
        title=title,
        status=status,
        place=environment,
        design=design,
        flags=[
            {
                "key": config.flag.key,
                "variants": json.dumps([variant["key"] for variant in config.flag.variants]),
                "has_split": len({item[2] for item in config.allocation}) > 0,
            }
            for config in configs[:500]
        ],
        metrics=list(selectors.metrics(environment.project)[:500]),
        layers=list(Layer.objects.filter(environment=environment)),
        methods=Experiment.Method.choices,
        actions=ExperimentMetric.Action.choices,
        operators=conditions.offered(),
        attributes_url=f"{reverse('admin:flags_flagconfig_attributes')}?environment={environment.pk}",
        kinds=conditions.KINDS.items(),
        blank_rule={"ref": "0"},
        blank_condition=ConditionRow("__condition__"),
        may_edit=True,
        plan_url=f"{reverse('admin:experiments_experiment_plan')}?environment={environment.pk}",
        list_url=model_admin.list_url(),
        **shown,
    )


def plan(model_admin: "ExperimentAdmin", request: HttpRequest, environment: Environment) -> HttpResponse:  # noqa: ARG001 - as the other pages
    """The fragment beside the form: how many users, and how long at last week's traffic."""
    design = Design.sent(request.POST)
    shown: dict[str, Any] = {"plan": design.plan}
    try:
        shown |= _planned(environment, design)
    except ServiceError as error:
        shown["problems"] = [problem.detail for problem in error.problems]
    return render(request, "experiments/plan.html", shown)


def _planned(environment: Environment, design: Design) -> dict[str, Any]:
    texts = design.texts
    found = _recent(environment, texts)
    baseline = _share(design.plan["baseline"]) or (found.baseline_rate if found else None)
    effect, power = _share(design.plan["effect"]), _share(design.plan["power"])
    shown: dict[str, Any] = {"recent": found, "baseline": baseline}
    if baseline is None or effect is None or power is None:
        return shown
    answer = planning.solve(
        {
            "type": "binary",
            "baseline": baseline,
            "treatmentShare": 0.5,
            "alpha": _plain(texts["alpha"]) or 0.05,
            "power": power,
            "minimumDetectableEffect": effect,
            "method": texts["method"] or Experiment.Method.ALWAYS_VALID,
            "looks": planning.PLANNED_LOOKS,
        }
    )
    per_day = found.users_per_day if found else 0
    users = answer["users"]
    days = math.ceil(users / per_day) if users and per_day else None
    return {**shown, "answer": answer, "days": days, "effect": effect, "power": power}


def _recent(environment: Environment, texts: Mapping[str, str]) -> planning.Estimate | None:
    """Last week's traffic and rate, once a flag and a metric are chosen."""
    if not texts["flagKey"] or not texts["primaryMetric"]:
        return None
    try:
        config = get_config(environment, texts["flagKey"])
        metric = selectors.get_metric(environment.project, texts["primaryMetric"])
    except NotFound:
        return None
    traffic = _plain(texts["trafficPercent"]) or 100
    unsaved = Experiment(
        environment=environment,
        config=config,
        primary_metric=metric,
        control_variant=config.flag.variants[0]["key"],
        traffic_bp=max(1, min(10_000, round(traffic * 100))),
        planned_users=1,
    )
    return planning.estimate(unsaved)


def _plain(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _share(text: str) -> float | None:
    """A percentage as it is typed, as a share; None for what is none."""
    value = _plain(text)
    return value / 100 if value is not None and 0 < value < 100 else None


def _number(text: str, attr: str, problems: list[Problem]) -> float:
    value = _plain(text)
    if value is None:
        problems.append(Problem(attr, "invalid", f"{text!r} is no number; write it like 12.5."))
        return 0
    return int(value) if value.is_integer() else value


def _whole(text: str, attr: str, problems: list[Problem]) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        problems.append(Problem(attr, "invalid", "Give a whole number of users, or leave it empty."))
        return None
    return int(text)


def _moment(text: str, problems: list[Problem]) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problems.append(Problem("endsAt", "invalid", "Give a moment like 2026-11-20T14:05."))
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
