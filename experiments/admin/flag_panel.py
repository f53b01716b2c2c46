"""The experiments on a flag, shown beside it on its own page."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from experiments.models import Experiment
from flags.admin import Panel, register_panel
from flags.models import FlagConfig
from tenancy.console_kit.environments import may_edit


def _experiments_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:
    rows = list(Experiment.objects.filter(config=config).order_by("-pk")[:10])
    may_create = may_edit(request, config) and not config.flag.is_archived
    if not rows and not may_create:
        return None
    query = urlencode({"environment": config.environment_id, "flag": config.flag.key})
    new_url = f"{reverse('admin:experiments_experiment_add')}?{query}" if may_create else ""
    return {"experiments": rows, "new_url": new_url}


register_panel(Panel("experiments/panel.html", _experiments_of))
