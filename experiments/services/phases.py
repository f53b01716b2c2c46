"""What begins a phase of a running experiment, and what a phase that begins would cost.

A phase has one split, one targeting and one salt, because pooled figures of two populations compare mixtures. Rules
that are asked before the experiment, prerequisites and its audience decide who reaches it. Turning the flag on or off,
killing it and releasing it begin no phase: while the flag is off nobody is exposed, and afterwards the same users get
the same variants. Single targets begin none either: those users are left out of the analysis instead.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from django.db import OperationalError, transaction
from django.utils import timezone

from analytics.selectors import answer_within, exposure_summary
from experiments.analysis.window import Window, window_of
from experiments.analysis.window_data import WindowData
from experiments.models import Experiment
from experiments.selectors import with_parts
from tenancy.errors import Unavailable
from tenancy.models import Environment

STARTED = "The experiment started."
_SECONDS_A_DAY = 86_400
# Whoever changes a flag waits so long at most for the number of users.
_COUNT_SECONDS = 5.0
# Parts of a rule that do not decide who matches.
_LABELS = frozenset({"id", "name", "priority"})


class PhaseCost(TypedDict):
    """A running experiment in which a change would begin a phase: its present phase's users and days are set aside.

    `usersSoFar` is None where they could not be counted.
    """

    experiment: str
    name: str
    reason: str
    usersSoFar: int | None
    days: float


def begins_phase(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Why the flag's document `after` begins a phase of the experiment that both carry; None where it begins none."""
    old, new = before.get("experiment"), after.get("experiment")
    if not old or not new or old["id"] != new["id"]:
        return None
    changed = [
        word
        for word, is_same in (
            ("prerequisites", before["prerequisites"] == after["prerequisites"]),
            ("rules", _rules_before(before) == _rules_before(after)),
            ("audience", old.get("audience") == new.get("audience")),
            ("split", _split(before) == _split(after)),
            ("salt", before["salt"] == after["salt"]),
            ("bucketBy", before["bucketBy"] == after["bucketBy"]),
        )
        if not is_same
    ]
    return f"The flag's {' and '.join(changed)} changed." if changed else None


def restarted_because(changes: Mapping[str, Any], reason: str) -> str:
    """Why a restart began a phase, with what it changed and what the person gave as the reason."""
    named = {"allocation": "split", "audience": "audience", "trafficPercent": "traffic"}
    changed = [word for name, word in named.items() if name in changes]
    how = f" with another {' and '.join(changed)}" if changed else ": everybody was assigned anew"
    return f"The experiment was restarted{how}. {reason}".strip()


def phases_begun(
    *, environment: Environment, before: Mapping[str, Any], after: Mapping[str, Any], **_: Any
) -> list[PhaseCost]:
    """The experiment in which the change of its flag's document would begin a phase, with what has been gathered."""
    reason = begins_phase(before, after)
    if reason is None:
        return []
    served = Experiment.objects.filter(environment=environment, status__in=Experiment.SERVED)
    experiment = with_parts(served).filter(config__flag__key=before["key"]).first()
    if experiment is None:
        return []
    return [cost_of_a_phase(experiment, reason)]


def cost_of_a_phase(experiment: Experiment, reason: str) -> PhaseCost:
    """What a phase that begins now would set aside."""
    window = window_of(experiment, now=timezone.now())
    elapsed = window.until - window.since
    return {
        "experiment": experiment.key,
        "name": experiment.name,
        "reason": reason,
        "usersSoFar": _users_so_far(experiment, window),
        "days": round(elapsed.total_seconds() / _SECONDS_A_DAY, 1),
    }


def _users_so_far(experiment: Experiment, window: Window) -> int | None:
    """None while the event store is away, and where it takes too long: the change itself needs no count."""
    try:
        with answer_within(_COUNT_SECONDS, what="Counting the users"), transaction.atomic():
            return sum(exposure_summary(WindowData(experiment, window).period()).users.values())
    except (OperationalError, Unavailable):
        return None


def _rules_before(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules that are asked before the experiment, in their order; later ones see only those who take no part."""
    place = document["experiment"].get("priority")
    rules = sorted(document["rules"], key=lambda rule: rule["priority"])
    asked = rules if place is None else [rule for rule in rules if rule["priority"] < place]
    return [{name: value for name, value in rule.items() if name not in _LABELS} for rule in asked]


def _split(document: Mapping[str, Any]) -> Any:
    """The experiment's own split; one without deals by the flag's allocation."""
    own = document["experiment"].get("allocation")
    return document["allocation"] if own is None else own
