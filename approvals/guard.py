"""The guard of the gate: it refuses a write that a freeze or a policy does not allow."""

from collections.abc import Sequence

from django.utils import timezone

from approvals import needs, people, selectors
from approvals.models import Freeze
from approvals.operations import ready_changes
from approvals.rules.publishing import Ask
from audit.actors import Actor
from flags.services import gate
from tenancy.models import Environment

_TITLE = 200


def guard(*, environment: Environment, actor: Actor, pieces: Sequence[gate.Piece], act: gate.Act | None) -> None:
    """Raise Refused `frozen` or `approval_required`, the latter with a change request that is ready to be sent."""
    (touched,) = needs.touched_by(pieces)
    if not any(part.is_served_changed for part in touched.parts):
        return
    if not is_out_of_freezes(pieces, environment):
        try:
            refuse_frozen(environment, actor)
        except gate.Refused as refusal:
            # It can be proposed all the same, and published once the freeze ends.
            raise _with_request(refusal, pieces, touched, act) from None
    for ask in needs.asks_of([touched]):
        raise _approval_required(ask, pieces, touched, act)


def is_out_of_freezes(pieces: Sequence[gate.Piece], environment: Environment) -> bool:
    """Whether nothing but kills and their releases is done to the environment."""
    here = [piece for piece in pieces if piece.environment.pk == environment.pk]
    return all(gate.is_kill(piece) or gate.is_release(piece) for piece in here)


def refuse_frozen(environment: Environment, actor: Actor) -> None:
    """Raise Refused `frozen` where a freeze holds that this actor is not exempt from."""
    for freeze, until in selectors.freezes_now(environment, timezone.now()):
        if is_exempt(freeze, environment, actor):
            continue
        refusal = gate.Refused(
            f"{freeze.name} holds in {environment.key}{f' until {until:%Y-%m-%d %H:%M} UTC' if until else ''}"
            f"{f': {freeze.reason}' if freeze.reason else ''}. Wait for its end, or ask somebody who may publish all "
            "the same. A kill is never frozen.",
            code="frozen",
        )
        refusal.extra = {"freeze": selectors.held_by(freeze, until)}
        raise refusal


def is_exempt(freeze: Freeze, environment: Environment, actor: Actor) -> bool:
    if not freeze.exempt_roles and not freeze.exempt_groups:
        return False
    user = people.user_of(actor)
    return people.is_among(user, environment, roles=freeze.exempt_roles, groups=freeze.exempt_groups)


def _approval_required(
    ask: Ask, pieces: Sequence[gate.Piece], touched: needs.Touched, act: gate.Act | None
) -> gate.Refused:
    approvals = f"{ask.approvals} approval{'' if ask.approvals == 1 else 's'}"
    checks = f"{' and ' if ask.approvals else ''}the check {', '.join(sorted(ask.checks))}" if ask.checks else ""
    needed = f"{approvals if ask.approvals else ''}{checks}"
    refusal = gate.Refused(
        f"{ask.environment} asks for {needed} before this is served ({'; '.join(ask.why)}). Propose it as a "
        "change request.",
        code="approval_required",
    )
    refusal.extra = {"asks": [ask_resource(ask)]}
    return _with_request(refusal, pieces, touched, act)


def _with_request(
    refusal: gate.Refused, pieces: Sequence[gate.Piece], touched: needs.Touched, act: gate.Act | None
) -> gate.Refused:
    """Put the change request that would do the same into the refusal, ready to be sent."""
    place = act.arguments.get("environment") or act.arguments.get("target") if act is not None else None
    refusal.place = place or touched.environment
    # What another environment refuses is at a version of its own there; the request takes the present one of its place.
    is_here = refusal.place.pk == touched.environment.pk
    versions = {
        part.key: (part.before or {}).get("version") if is_here else None
        for part in touched.parts
        if part.key in {piece.key for piece in pieces}
    }
    changes = ready_changes(act, versions) if act is not None else []
    refusal.extra |= {
        "environment": refusal.place.key,
        "changeRequest": {"title": _title(changes), "changes": changes} if changes else None,
    }
    return refusal


def _title(changes: list[dict[str, object]]) -> str:
    named = [f"{change['action']} {change['resource']['type']} {change['resource']['key']}" for change in changes]  # type: ignore[index]  # a resource is an object
    text = ", ".join(named)
    return text[0].upper() + text[1:_TITLE]


def ask_resource(ask: Ask) -> dict[str, object]:
    """Return what an environment asks, as the API shows it."""
    return {
        "environment": ask.environment,
        "requiredApprovals": ask.approvals,
        "ownApproval": ask.own_approval,
        "checks": sorted(ask.checks),
        "why": list(ask.why),
    }
