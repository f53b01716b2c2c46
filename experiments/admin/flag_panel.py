"""The experiments on a flag, shown beside it on its own page."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from experiments.models import Experiment
from flags.admin import Panel, RuleAct, register_panel, register_rule_act
from flags.models import FlagConfig
from tenancy.console_kit.environments import may_edit


def _experiments_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:
    rows = list(Experiment.objects.filter(config=config).order_by("-pk")[:10])
    new_url = _designer_url(request, config)
    return {"experiments": rows, "new_url": new_url} if rows or new_url else None


def _designer_url(request: HttpRequest, config: FlagConfig) -> str:
    """The address that designs an experiment on the flag; "" for whoever may not."""
    if not may_edit(request, config) or config.flag.is_archived:
        return ""
    query = urlencode({"environment": config.environment_id, "flag": config.flag.key})
    return f"{reverse('admin:experiments_experiment_add')}?{query}"


def _rule_url(request: HttpRequest, config: FlagConfig) -> str:
    url = _designer_url(request, config)
    return url and f"{url}&rule="


register_panel(Panel("experiments/panel.html", _experiments_of))
register_rule_act(RuleAct("Experiment on this rule", _rule_url))
