"""What is asked before a plan goes on: whether all of it may be served, and not only the step that comes next."""

from collections.abc import Iterator
from typing import Any

from audit.actors import Actor
from flags.documents import flag_document, flag_presentation
from flags.models import Change, FlagConfig
from flags.selectors import get_config
from flags.services import gate
from rollouts.documents import PLAN_FIELDS, plan_resource
from rollouts.models import RolloutPart, RolloutPlan

# Tags of a flag whose code can go, now that everybody gets one variant for good.
CLEAN_UP_TAG = "clean-up"


def ask_about(actor: Actor, plan: RolloutPlan, *, since: int) -> None:
    """Ask about the plan as a whole, with what its last step serves; the worker's steps are not asked about again.

    Call it after the writes of the act, inside `gate.together`: of each thing the last counts. `since` is the
    environment's version before them. Raises Refused.
    """
    place, resource = plan.environment, plan_resource(plan)
    fields = {name: value for name, value in resource.items() if name in PLAN_FIELDS}
    pieces = [gate.Piece(place, "rollout_plan", resource["flagKey"], fields, since=since)]
    for part in plan.parts.select_related("config__flag"):
        config = get_config(place, part.config.flag.key)
        document, presentation = flag_document(config), flag_presentation(config.flag)
        if plan.then == RolloutPlan.Then.MAKE_PERMANENT:
            presentation["tags"] = list(dict.fromkeys([*config.flag.tags, CLEAN_UP_TAG]))
            if CLEAN_UP_TAG not in config.flag.tags:
                pieces += _tagged_elsewhere(config, presentation)
        pieces.append(
            gate.Piece(
                place,
                Change.Entity.FLAG,
                config.flag.key,
                document | _at_the_end(plan, part, document),
                presentation,
                since,
                Change.Kind.FLAG_UPDATED,
            )
        )
    gate.ask(actor=actor, pieces=pieces)


def _tagged_elsewhere(config: FlagConfig, presentation: dict[str, Any]) -> Iterator[gate.Piece]:
    """The tag is the flag's: it goes into the log of every environment of the project."""
    rows = FlagConfig.objects.filter(flag=config.flag).exclude(pk=config.pk)
    for other in rows.select_related("flag", "environment__project__organization").prefetch_related("rules"):
        place = other.environment
        yield gate.Piece(
            place,
            Change.Entity.FLAG,
            other.flag.key,
            flag_document(other),
            presentation,
            place.config_version,
            Change.Kind.FLAG_UPDATED,
        )


def _at_the_end(plan: RolloutPlan, part: RolloutPart, document: dict[str, Any]) -> dict[str, Any]:
    """What of the flag's document differs once the last step is served."""
    is_permanent = plan.then == RolloutPlan.Then.MAKE_PERMANENT
    if part.rule_id is None and is_permanent:
        return {"defaultVariant": part.variant, "allocation": []}
    if part.rule_id is None:
        return {"allocation": part.rungs[-1]}
    served = {"variant": part.variant} if is_permanent else {"allocation": part.rungs[-1]}
    rules = [
        {name: value for name, value in rule.items() if name not in {"variant", "allocation"}} | served
        if rule["id"] == str(part.rule_id)
        else rule
        for rule in document["rules"]
    ]
    return {"rules": rules}
