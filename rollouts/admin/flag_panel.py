"""A flag's rollout, shown beside it: the plan at work, what is to come, and how to begin."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audit.export_formats import json_bytes
from flags.admin import Panel, RuleAct, register_panel, register_rule_act
from flags.admin.panels import SaveAct, register_save_act
from flags.documents import rollout_of
from flags.models import FlagConfig
from rollouts.documents import percent_now
from rollouts.models import ScheduledChange
from rollouts.planning.words import in_words, proposed
from rollouts.selectors import get_plan, part_of, scheduled
from tenancy.console_kit.environments import may_edit


def _rollout_of(request: HttpRequest, config: FlagConfig) -> dict[str, Any] | None:
    part = part_of(config.environment, config.flag.key)
    plan = get_plan(config.environment, config.flag.key) if part else None
    changes = scheduled(config.environment).filter(
        resource_type="flag",
        resource_key=config.flag.key,
        state__in=[ScheduledChange.State.WAITING, ScheduledChange.State.HELD],
    )
    may_begin = may_edit(request, config) and not config.flag.is_archived
    if plan is None and not may_begin and not changes.exists():
        return None
    return {
        "plan": plan,
        "percent": percent_now(part) if plan and part else None,
        "next": in_words(plan.steps[plan.current_step]) if plan and plan.current_step < len(plan.steps) else "",
        "changes": list(changes[:10]),
        "plan_url": _address("rolloutplan", config) if may_begin else "",
        "later_url": _address("scheduledchange", config) if may_begin else "",
        "is_open": bool(plan and plan.is_open),
    }


def _share_url(request: HttpRequest, config: FlagConfig) -> str:
    """Where a share is raised in steps, which are proposed there; a rule's id is appended."""
    if not may_edit(request, config) or config.flag.is_archived or config.experiment:
        return ""
    return f"{_address('rolloutplan', config)}&propose=1&rule="


register_panel(Panel("rollouts/panel.html", _rollout_of))
register_rule_act(RuleAct("10 % now, 25 % tomorrow, …", _share_url, is_of_shares=True))


def _save_later(request: HttpRequest, config: FlagConfig, changed: dict[str, Any]) -> HttpResponse:
    """Go to the page that asks when; the change travels in the session."""
    patch = json.loads(json_bytes(changed))
    request.session[f"scheduled_patch_{config.pk}"] = {"patch": patch, "version": config.version}
    return redirect(_address("scheduledchange", config))


def _save_in_steps(request: HttpRequest, config: FlagConfig, changed: dict[str, Any]) -> HttpResponse:
    """Go to the page of a plan that ends at the share that was typed."""
    if set(changed) != {"rollout"}:
        messages.info(request, "A plan raises the flag's own share and nothing else; the other fields were not saved.")
    now = {row["variant"]: row["percent"] for row in rollout_of(config.allocation)}
    wanted = {row["variant"]: row["percent"] for row in changed.get("rollout", [])}
    growing = [(percent - now.get(variant, 0), variant) for variant, percent in wanted.items()]
    growth, variant = max(growing, default=(0, ""))
    if growth <= 0:
        return redirect(_address("rolloutplan", config))
    asked = urlencode({"variant": variant, "steps": proposed(now.get(variant, 0), wanted[variant])})
    return redirect(f"{_address('rolloutplan', config)}&{asked}")


def _address(model: str, config: FlagConfig) -> str:
    query = urlencode({"environment": config.environment_id, "flag": config.flag.key})
    return f"{reverse(f'admin:rollouts_{model}_add')}?{query}"


register_save_act(SaveAct("later", "Save at…", _save_later))
register_save_act(SaveAct("steps", "Roll out in steps…", _save_in_steps))
