"""Every write to plans, templates, scheduled changes and triggers, each with its audit row in the same transaction."""

from rollouts.services.acts import advance_plan, cancel_plan, hold_plan, resume_plan, rollback_plan
from rollouts.services.plans import delete_plan, save_plan, start_plan
from rollouts.services.releases import release_winner
from rollouts.services.schedules import cancel_scheduled, schedule_change, update_scheduled
from rollouts.services.switch import resume_automatic, stop_automatic, wake_frozen
from rollouts.services.templates import create_template, delete_template, update_template
from rollouts.services.triggers import call_trigger, create_trigger, delete_trigger, update_trigger

__all__ = [
    "advance_plan",
    "call_trigger",
    "cancel_plan",
    "cancel_scheduled",
    "create_template",
    "create_trigger",
    "delete_plan",
    "delete_template",
    "delete_trigger",
    "hold_plan",
    "release_winner",
    "resume_automatic",
    "resume_plan",
    "rollback_plan",
    "save_plan",
    "schedule_change",
    "start_plan",
    "stop_automatic",
    "update_scheduled",
    "update_template",
    "update_trigger",
    "wake_frozen",
]
