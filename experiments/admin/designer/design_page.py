"""The page that the designer and the editor share: the form of a design, and the choices it offers."""

import json
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from experiments import selectors
from experiments.admin.designer.design_document import ShownDesign, design_of
from experiments.admin.typed_numbers import typed_number
from experiments.design.lift_history import own_prior
from experiments.models import Experiment, ExperimentMetric, Metric
from flags.admin import conditions
from flags.admin.flag.form import condition_fields
from flags.models import FlagConfig, Layer
from flags.selectors import search_configs, search_segments
from tenancy.console_kit.documents import DocumentEdit
from tenancy.console_kit.pages import console_page, in_environment, list_url
from tenancy.models import Environment

_MOST_OFFERED = 500
_CORRECTIONS = [
    (Experiment.Correction.HOLM, "Holm: no false claim at all (default)"),
    (Experiment.Correction.BENJAMINI_HOCHBERG, "Benjamini-Hochberg: few false claims among many"),
    (Experiment.Correction.NONE, "None: each claim for itself"),
]
# What the plan beside the form begins with: the smallest relative change and the chance to see it, in percent.
_PLAN = {"baseline": "", "sd": "", "effect": "10", "power": "80"}


def design_page(
    request: HttpRequest,
    environment: Environment,
    edit: DocumentEdit,
    *,
    title: str,
    template: str = "experiments/designer.html",
    **shown: Any,
) -> HttpResponse:
    design = design_of(edit.document)
    rows = design["conditions"]
    return console_page(
        request,
        template,
        title=title,
        status=edit.status,
        edit=edit,
        design=design,
        conditions=None if rows is None else [condition_fields(row) for row in rows],
        plan={name: request.POST.get(f"plan-{name}", default) for name, default in _plan_of(design).items()},
        own_prior=own_prior(environment.project),
        new_event=request.POST.get("newEvent", ""),
        flags=[_choice_of(config) for config in search_configs(environment)[:_MOST_OFFERED]],
        metrics=_metrics(selectors.metrics(environment.project), design["secondaryMetrics"]),
        layers=list(Layer.objects.filter(environment=environment)),
        methods=Experiment.Method.choices,
        corrections=_CORRECTIONS,
        actions=ExperimentMetric.Action.choices,
        operators=conditions.offered(),
        kinds=conditions.KINDS.items(),
        blank_condition=condition_fields({"attribute": "", "operator": "equals"}),
        segments=list(search_segments(environment).values_list("key", flat=True)[:_MOST_OFFERED]),
        attributes_url=in_environment("admin:flags_flagconfig_attributes", environment),
        plan_url=in_environment("admin:experiments_experiment_plan", environment),
        list_url=list_url(Experiment, environment=environment),
        may_edit=True,
        **shown,
    )


def _plan_of(design: ShownDesign) -> dict[str, str]:
    """What the plan begins with; the smallest lift that matters is what to plan for, where it is named."""
    smallest = typed_number(design["analysis"]["minimumEffect"])
    return _PLAN if smallest is None else {**_PLAN, "effect": f"{100 * smallest:g}"}


def _choice_of(config: FlagConfig) -> dict[str, str]:
    rules = [{"priority": rule.priority, "name": str(rule)} for rule in config.rules.all()]
    return {
        "key": config.flag.key,
        "variants": json.dumps([variant["key"] for variant in config.flag.variants]),
        "rules": json.dumps(rules),
    }


def _metrics(rows: QuerySet[Metric], chosen: list[str]) -> list[Metric]:
    """The chosen ones come first and in their order, so that an untouched form sends the same list."""
    metrics = list(rows[:_MOST_OFFERED])
    places = {key: place for place, key in enumerate(chosen)}
    return sorted(metrics, key=lambda metric: places.get(metric.key, len(places)))
