"""What the designer and the editor both show: the form of a design, and what there is to choose from."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from experiments import selectors
from experiments.admin.audience_rows import ConditionRow
from experiments.admin.design_form import GUARDRAIL_ROWS, Design
from experiments.models import Experiment, ExperimentMetric
from flags.admin import conditions
from flags.models import Layer
from flags.selectors import search_configs, search_segments
from tenancy.console_kit.pages import console_page, list_url
from tenancy.models import Environment

_CORRECTIONS = [
    (Experiment.Correction.HOLM, "Holm: no false claim at all (default)"),
    (Experiment.Correction.BENJAMINI_HOCHBERG, "Benjamini-Hochberg: few false claims among many"),
    (Experiment.Correction.NONE, "None: each claim for itself"),
]


def render_design(
    request: HttpRequest,
    environment: Environment,
    design: Design,
    *,
    status: int,
    title: str,
    template: str = "experiments/designer.html",
    **shown: Any,
) -> HttpResponse:
    design.guardrails += [
        {"metric": "", "marginPercent": "", "action": "warn"} for _ in range(GUARDRAIL_ROWS - len(design.guardrails))
    ]
    configs = search_configs(environment)
    return console_page(
        request,
        template,
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
        corrections=_CORRECTIONS,
        actions=ExperimentMetric.Action.choices,
        operators=conditions.offered(),
        attributes_url=f"{reverse('admin:flags_flagconfig_attributes')}?environment={environment.pk}",
        kinds=conditions.KINDS.items(),
        segments=list(search_segments(environment).values_list("key", flat=True)[:500]),
        blank_rule={"ref": "0"},
        blank_condition=ConditionRow("__condition__"),
        may_edit=True,
        plan_url=f"{reverse('admin:experiments_experiment_plan')}?environment={environment.pk}",
        list_url=list_url(Experiment),
        **shown,
    )
