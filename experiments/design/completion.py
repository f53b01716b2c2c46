"""What shipping a variant does to its flag: a rollout for everyone, or a rule for the audience."""

from typing import Any

from experiments.models import Experiment
from flags.documents import flag_resource

_STEP = 10


def flag_change(experiment: Experiment, shipped: str, scope: str) -> dict[str, Any] | None:
    """The fields of the flag that the decision changes, as a PATCH; None where it ships nothing."""
    if not shipped:
        return None
    if scope != Experiment.Scope.AUDIENCE:
        return {"rollout": [{"variant": shipped, "percent": 100}]}
    rules = flag_resource(experiment.config)["rules"]
    priority = experiment.priority
    if priority is None:
        priority = max((rule["priority"] for rule in rules), default=0) + _STEP
    elif priority < 0:
        # Rules have no priority below 0, so all of them move up.
        rules = [{**rule, "priority": rule["priority"] - priority} for rule in rules]
        priority = 0
    rule = {
        "priority": priority,
        "name": f"Shipped by {experiment.name}"[:200],
        "conditions": _conditions(experiment.audience),
        "variant": shipped,
    }
    change = {"rules": [*rules, rule]}
    # Without a split of its own the flag's allocation is the experiment's, and must not outlive it.
    return change if experiment.owns_split else {**change, "rollout": []}


def _conditions(audience: Any) -> Any:
    """The audience as a rule's conditions: a list where it is one, else the tree."""
    if not isinstance(audience, dict):
        return audience
    if "operator" in audience:
        return [audience]
    listed = audience.get("all")
    is_flat = isinstance(listed, list) and all(isinstance(item, dict) and "operator" in item for item in listed)
    return listed if is_flat else audience
