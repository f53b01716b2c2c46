"""Triggers: made and changed by people, called by alerts."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

import audit.services
from audit.actors import Actor
from flags.selectors import get_config
from flags.services import kill_flag, update_flag
from rollouts.alerts import firing
from rollouts.documents import trigger_resource
from rollouts.models import RolloutPlan, Trigger, TriggerCall
from rollouts.selectors import part_of
from rollouts.services.acts import hold_plan, rollback_plan
from tenancy import credentials
from tenancy.errors import Conflict, Invalid, NotFound
from tenancy.models import Environment
from tenancy.refusals import refuse_read_only, refuse_stale, refuse_unknown
from tenancy.services import clean

KIND: Final = "trigger"
# The same alert again within this time does nothing.
QUIET: Final = timedelta(hours=1)
MOST_TRIGGERS: Final = 200
_FIELDS: Final = ("name", "flagKey", "act", "enabled")
_SHOWN: Final = dict.fromkeys(
    ("id", "prefix", "lastCalledAt", "lastActedAt", "createdBy", "createdAt", "updatedAt"), ""
)
# A plan that is held can still be rolled back.
_AT_WORK: Final = (RolloutPlan.State.RUNNING, RolloutPlan.State.HELD)
_PREFIX_CHARACTERS: Final = len(f"fs_{KIND}_") + 8


@dataclass(frozen=True, slots=True)
class IssuedTrigger:
    """A trigger with a token that can be shown only now."""

    trigger: Trigger
    token: str


@dataclass(frozen=True, slots=True)
class Called:
    """What a call did, in words."""

    has_acted: bool
    why: str


@transaction.atomic
def create_trigger(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> IssuedTrigger:
    """Raises Invalid, NotFound, Conflict `limit_reached`."""
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    if Trigger.objects.filter(config__environment=environment).count() >= MOST_TRIGGERS:
        raise Conflict(f"An environment has at most {MOST_TRIGGERS} triggers; delete one.", code="limit_reached")
    secret = credentials.generate(KIND)
    trigger = Trigger(
        config=get_config(environment, payload.get("flagKey") or ""),
        prefix=secret.prefix,
        digest=secret.digest,
        created_by=actor.label,
    )
    _set(trigger, payload)
    trigger.save(force_insert=True)
    _record(actor, trigger, "created", after=trigger_resource(trigger))
    return IssuedTrigger(trigger, secret.text)


@transaction.atomic
def update_trigger(*, actor: Actor, trigger: Trigger, payload: Mapping[str, Any], version: int | None) -> Trigger:
    """Its flag and its act are fixed: a receiver relies on them. Raises Invalid, Conflict `version_conflict`."""
    locked = _locked(trigger)
    refuse_unknown(payload, (*_FIELDS, *_SHOWN, "version"))
    before = trigger_resource(locked)
    refuse_stale("trigger", before, version)
    refuse_read_only(payload, before, _SHOWN)
    for name in ("flagKey", "act"):
        if payload.get(name, before[name]) != before[name]:
            raise Invalid("This is fixed when a trigger is made; make another one.", attr=name, code="immutable")
    _set(locked, {"act": locked.act, "name": locked.name, "enabled": locked.enabled, **payload})
    locked.version += 1
    locked.save()
    _record(actor, locked, "updated", before=before, after=trigger_resource(locked))
    return locked


@transaction.atomic
def delete_trigger(*, actor: Actor, trigger: Trigger, reason: str = "") -> None:
    locked = _locked(trigger)
    _record(actor, locked, "deleted", before=trigger_resource(locked), reason=reason)
    locked.delete()


def _locked(trigger: Trigger) -> Trigger:
    rows = Trigger.objects.select_for_update(of=("self",))
    return rows.select_related("config__flag", "config__environment__project__organization").get(pk=trigger.pk)


def _set(trigger: Trigger, payload: Mapping[str, Any]) -> None:
    trigger.name = payload.get("name") or ""
    trigger.act = payload.get("act") or ""
    trigger.enabled = payload.get("enabled", True)
    clean(trigger)


def find_trigger(token: str) -> Trigger:
    """The trigger with this token. Raises NotFound."""
    rows = Trigger.objects.select_related("config__flag", "config__environment__project__organization")
    trigger = rows.filter(prefix=token[:_PREFIX_CHARACTERS]).first()
    if trigger is None or not credentials.matches(token, bytes(trigger.digest)):
        raise NotFound("There is no such trigger.")
    return trigger


def call_trigger(*, token: str, body: Any, request_id: str = "", now: datetime | None = None) -> Called:
    """Do what the trigger is for, once an hour for the same alert. Raises NotFound, and Invalid for a strange body."""
    trigger = find_trigger(token)
    moment = now or timezone.now()
    fingerprints = [hashlib.sha256(text.encode()).hexdigest() for text in firing(body)]
    with transaction.atomic():
        locked = _locked(trigger)
        locked.last_called_at = moment
        locked.save(update_fields=["last_called_at"])
        if not fingerprints:
            return Called(has_acted=False, why="No alert is firing; a recovery does nothing.")
        if not locked.enabled:
            return Called(has_acted=False, why="The trigger is switched off.")
        new = _first_time(locked, fingerprints, moment)
        if not new:
            return Called(has_acted=False, why="The same alert called within the last hour.")
        actor = Actor(kind=KIND, id=str(locked.pk), label=f"trigger ({locked.name})"[:254],
                      credential=locked.prefix, request_id=request_id)  # fmt: skip
        missing = _perform(actor, locked)
        if missing:
            # The same alert acts once there is something to act on.
            return Called(has_acted=False, why=missing)
        TriggerCall.objects.bulk_create(TriggerCall(trigger=locked, fingerprint=each, acted_at=moment) for each in new)
        locked.last_acted_at = moment
        locked.save(update_fields=["last_acted_at"])
        audit.services.record(
            actor=actor,
            action="trigger.fired",
            at=locked.config.environment,
            key=str(locked.pk),
            after={"name": locked.name, "act": locked.act, "flagKey": locked.config.flag.key, "fingerprint": new[0]},
        )
    return Called(has_acted=True, why=locked.get_act_display())


def _first_time(trigger: Trigger, fingerprints: list[str], now: datetime) -> list[str]:
    """Those that did not make this trigger act within the last hour."""
    trigger.calls.filter(acted_at__lte=now - QUIET).delete()
    known = set(trigger.calls.filter(fingerprint__in=fingerprints).values_list("fingerprint", flat=True))
    return [each for each in dict.fromkeys(fingerprints) if each not in known]


def _perform(actor: Actor, trigger: Trigger) -> str:
    """Perform the act; return why there was nothing to do, or ""."""
    environment, key = trigger.config.environment, trigger.config.flag.key
    reason = f"An alert called the trigger {trigger.name}."
    if trigger.act == Trigger.Act.KILL_FLAG:
        kill_flag(actor=actor, environment=environment, key=key, reason=reason)
    elif trigger.act == Trigger.Act.SWITCH_OFF_FLAG:
        update_flag(
            actor=actor, environment=environment, key=key, payload={"enabled": False}, version=None, reason=reason
        )
    else:
        part = part_of(environment, key)
        is_hold = trigger.act == Trigger.Act.HOLD_PLAN
        if part is None or part.plan.state not in (_AT_WORK[:1] if is_hold else _AT_WORK):
            return "No rollout plan of the flag is at work."
        act = hold_plan if is_hold else rollback_plan
        try:
            act(actor=actor, environment=environment, key=key, reason=reason)
        except Conflict as refusal:
            # Somebody was quicker, and has the flag in hand. A call again would find the same.
            return refusal.problems[0].detail
    return ""


def _record(actor: Actor, trigger: Trigger, act: str, **states: Any) -> None:
    audit.services.record(
        actor=actor, action=f"trigger.{act}", at=trigger.config.environment, key=str(trigger.pk), **states
    )
