"""The form that rolls a flag out in steps: its fields make the document that the API takes."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from experiments.models import Metric
from flags.models import FlagConfig
from rollouts.models import RolloutPlan
from rollouts.planner import Act
from rollouts.planning.durations import format_duration
from rollouts.planning.plan_fields import GRACE, WINDOW
from rollouts.planning.words import EXAMPLE, all_in_words, read_words
from rollouts.selectors import template_steps, templates

_DEFAULT_RULE = ("", "The flag's own rollout")


class PlanForm(forms.Form):
    """`steps` are words, one step a line; a guardrail is watched on every step."""

    variant = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="Whose share is raised.")
    rule = forms.ChoiceField(required=False, label="Where", widget=UnfoldAdminSelectWidget)
    template = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget, help_text="Its steps, where you write none below."
    )
    steps = forms.CharField(
        required=False,
        max_length=10_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5, "placeholder": EXAMPLE}),
        help_text="One a line: now, tomorrow, after 2 hours, at 2027-03-01 08:00 UTC, with approval, with 500 users.",
    )
    guardrail = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget, help_text="A metric that must not get worse, on every step."
    )
    margin = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=1000,
        initial=5,
        label="Margin in %",
        widget=UnfoldAdminTextInputWidget,
    )
    action = forms.ChoiceField(
        required=False,
        label="Where it is violated",
        initial=Act.ROLLBACK,
        choices=[(Act.ROLLBACK, "Roll back"), (Act.HOLD, "Hold the plan"), (Act.KILL, "Kill the flag")],
        widget=UnfoldAdminSelectWidget,
    )
    then = forms.ChoiceField(
        required=False, choices=RolloutPlan.Then.choices, label="At the end", widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="For the audit log."
    )

    # Of the plan that is edited; none where a plan is made.
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, config: FlagConfig, **given: Any) -> None:
        super().__init__(*args, **given)
        self.organization = organization = config.environment.project.organization
        rules = [(str(rule.pk), f"Rule {rule.priority} {rule.name}".strip()) for rule in config.rules.all()]
        named = [template if isinstance(template, dict) else vars(template) for template in templates(organization)]
        metrics = Metric.objects.filter(project=config.environment.project_id).values_list("key", "name")
        chosen: dict[str, list[Any]] = {
            "variant": [(item["key"], item["key"]) for item in config.flag.variants],
            "rule": [_DEFAULT_RULE, *rules],
            "template": [("", "None: the steps below"), *((each["key"], each["name"]) for each in named)],
            "guardrail": [("", "None"), *metrics],
        }
        for name, choices in chosen.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]  # each has choices

    def clean(self) -> dict[str, Any]:
        sent = super().clean() or {}
        steps, problems = read_words(sent.get("steps") or "")
        for problem in problems:
            self.add_error("steps", problem.detail)
        if not steps and not problems and not sent.get("template"):
            self.add_error("steps", "Write the steps, or choose a template.")
        if steps and sent.get("template"):
            self.add_error("template", "Choose a template, or write the steps below; not both.")
        sent["read"] = steps
        return sent

    def payload(self) -> dict[str, Any]:
        """The document that the API takes."""
        sent = self.cleaned_data
        document: dict[str, Any] = {
            "variant": sent["variant"],
            "ruleId": sent.get("rule") or None,
            "then": sent["then"] or None,
        }
        if sent["template"]:
            document["template"] = sent["template"]
        # Of a template that is gone meanwhile the service says so.
        steps = sent["read"] or (template_steps(self.organization, sent["template"]) if sent["guardrail"] else None)
        if steps:
            document["steps"] = [self._guarded(step) for step in steps]
        return document

    def _guarded(self, step: dict[str, Any]) -> dict[str, Any]:
        """The step with the guardrail that was chosen, beside others that a template's step has."""
        sent = self.cleaned_data
        if not sent["guardrail"]:
            return step
        chosen = {"metric": sent["guardrail"], "marginPercent": sent["margin"] or 5, "action": sent["action"]}
        others = [each for each in step.get("guardrails", ()) if each["metric"] != sent["guardrail"]]
        return {**step, "guardrails": [*others, chosen]}


def opened_with(plan: RolloutPlan) -> dict[str, Any]:
    """What the form shows of a plan that is not started."""
    part = plan.parts.all()[0]
    guardrail: dict[str, Any] = next((item for step in plan.steps for item in step.get("guardrails", ())), {})
    return {
        "version": plan.version,
        "variant": part.variant,
        "rule": str(part.rule_id or ""),
        "steps": all_in_words(plan.steps),
        "then": plan.then,
        "guardrail": guardrail.get("metric", ""),
        "margin": guardrail.get("marginPercent", 5),
        "action": guardrail.get("action", Act.ROLLBACK),
    }


def is_told_by_form(plan: RolloutPlan) -> bool:
    """Whether the form says all of the plan and reads it again, so that saving it loses nothing."""
    kept = [step.get("guardrails", []) for step in plan.steps]
    usual = {"grace": format_duration(GRACE), "window": format_duration(WINDOW)}
    is_plain = all(each == kept[0] for each in kept) and len(kept[0]) <= 1
    is_usual = all(item.items() >= usual.items() for item in kept[0])
    told = [{name: value for name, value in step.items() if name != "guardrails"} for step in plan.steps]
    is_read = read_words(all_in_words(plan.steps)) == (told, [])
    return is_plain and is_usual and is_read and len(plan.parts.all()) == 1 and plan.after_environment is None
