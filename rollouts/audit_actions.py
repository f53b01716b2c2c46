"""What is done to rollout plans, templates, scheduled changes and triggers. The events of a plan are about its flag."""

from typing import TypedDict

from audit.actions import Action, Document, register


class RolloutStep(TypedDict, total=False):
    """`step` of `steps`, each counted from 1; 0 is what was there before the plan."""

    plan: str
    variant: str
    ruleId: str | None
    step: int
    steps: int
    percent: float
    state: str
    dueAt: str | None
    nextDueAt: str | None


class TriggerFired(TypedDict):
    """What called is known by its fingerprint alone: the payload of an alert may hold anything."""

    name: str
    act: str
    flagKey: str
    fingerprint: str


class AutomaticProgress(TypedDict):
    isStopped: bool


_PLAN = Document("RolloutPlan", names=("flag",))
_CHANGE = Document("ScheduledChange")
_TEMPLATE = Document("RolloutTemplate")
_TRIGGER = Document("Trigger", names=("flag",))

register(
    Action("flag.rollout_scheduled", "Rollout started", "a rollout plan was started", RolloutStep),
    Action("flag.rollout_progress", "Rollout step", "a rollout plan took a step; each step has one row", RolloutStep),
    Action(
        "flag.rollout_held",
        "Rollout held",
        "a person, a guardrail, a trigger or a kill held a rollout plan; everybody keeps what they have",
        RolloutStep,
        tone="warning",
        remedy="See the plan on the flag's page: resume it, or roll it back.",
    ),
    Action("flag.rollout_resumed", "Rollout resumed", "a held or rolled back plan goes on", RolloutStep),
    Action(
        "flag.rollout_completed", "Rollout completed", "a rollout plan took its last step", RolloutStep, tone="success"
    ),
    Action("flag.rollout_cancelled", "Rollout cancelled", "a rollout plan was given up; the share stays", RolloutStep),
    Action("rollout_plan.saved", "Rollout plan saved", "a plan that is not started was made or changed", _PLAN),
    Action("rollout_plan.deleted", "Rollout plan deleted", "a plan that was not started was deleted", _PLAN),
    Action("rollout_template.created", "Rollout template created", "a template was made", _TEMPLATE),
    Action("rollout_template.updated", "Rollout template changed", "a template changed", _TEMPLATE),
    Action("rollout_template.deleted", "Rollout template deleted", "a template was deleted", _TEMPLATE),
    Action("scheduled_change.created", "Change scheduled", "a change was scheduled", _CHANGE),
    Action(
        "scheduled_change.updated", "Scheduled change edited", "a scheduled change got another time or patch", _CHANGE
    ),
    Action("scheduled_change.cancelled", "Scheduled change cancelled", "a scheduled change was taken back", _CHANGE),
    Action("scheduled_change.published", "Scheduled change published", "a scheduled change was made", _CHANGE),
    Action(
        "scheduled_change.held",
        "Scheduled change held",
        "a scheduled change was not made when it was due, for the reason given",
        _CHANGE,
        tone="warning",
        remedy="Look at what changed meanwhile, and schedule it again or delete it.",
    ),
    Action("trigger.created", "Trigger created", "a trigger was made; its address is nowhere in the row", _TRIGGER),
    Action("trigger.updated", "Trigger changed", "a trigger was renamed, or switched on or off", _TRIGGER),
    Action("trigger.deleted", "Trigger deleted", "a trigger was deleted; its address works no more", _TRIGGER),
    Action("trigger.fired", "Trigger fired", "an alert called a trigger, which acted", TriggerFired, tone="danger"),
    Action(
        "organization.rollouts_switched",
        "Automatic rollouts switched",
        "all that plans and schedules do by themselves was stopped, or goes on",
        AutomaticProgress,
        tone="warning",
    ),
)
