"""Layers of mutually exclusive experiments, each with bucket ranges that no other experiment has."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import ProtectedError
from openflagship.engine import BUCKETS
from psycopg.types.range import Range

import audit.services
from audit.actors import Actor
from flags.documents import layer_resource
from flags.models import Layer, LayerSlot
from flags.selectors import get_layer
from flags.services import gate, version_log
from tenancy.errors import Conflict, Invalid
from tenancy.models import Environment
from tenancy.refusals import refuse_read_only, refuse_stale, refuse_unknown
from tenancy.services import clean

_HELD_OUT = "held out"
FIELDS = {"key", "name", "holdoutPercent"}
_CHANGED_BY = {
    "salt": "",
    "experiments": "An experiment names its layer: PATCH experiments/{id}.",
    "holdout": "The server chooses these buckets; set `holdoutPercent`.",
    "createdAt": "",
    "updatedAt": "",
}
_READ_ONLY_FIELDS = {*_CHANGED_BY, "version"}


@gate.act("layer.create")
@transaction.atomic
def create_layer(*, actor: Actor, environment: Environment, payload: Mapping[str, Any]) -> tuple[Layer, bool]:
    """Create a layer. A layer that exists with the same name is returned as it is. Raises Invalid, Conflict."""
    locked = version_log.lock_environment(environment)
    refuse_unknown(payload, FIELDS | _READ_ONLY_FIELDS)
    key = payload.get("key", "")
    name = payload.get("name") or key
    holdout = _buckets_of(payload.get("holdoutPercent", 0))
    existing = Layer.objects.filter(environment=environment, key=key).first()
    if existing is not None:
        if existing.name != name or ("holdoutPercent" in payload and existing.holdout_buckets != holdout):
            raise Conflict(
                f"There is already a layer {key!r} with another name or holdout.",
                code="key_exists",
                attr="key",
                current=layer_resource(existing),
            )
        return existing, False
    # A flag's salt is its key, which never holds a colon. So no flag has the salt of a layer.
    layer = Layer(environment=locked, key=key, name=name, salt=f"layer:{key}", holdout_buckets=holdout, version=1)
    clean(layer)
    layer.save(force_insert=True)
    _hold_out(layer, holdout)
    after = layer_resource(layer)
    _ask(actor, locked, key, None, after)
    audit.services.record(actor=actor, action="layer.created", at=locked, key=key, after=after)
    return layer, True


@gate.act("layer.update")
@transaction.atomic
def update_layer(
    *, actor: Actor, environment: Environment, key: str, payload: Mapping[str, Any], version: int | None
) -> Layer:
    """Rename a layer, or set its holdout. Raises NotFound, Invalid, or Conflict `version_conflict`, `holdout_conflict`.

    A smaller holdout frees its lowest buckets: units in those may be enrolled from then on.
    """
    locked = version_log.lock_environment(environment)
    layer = get_layer(environment, key)
    before = layer_resource(layer)
    refuse_stale("layer", before, version)
    refuse_unknown(payload, FIELDS | _READ_ONLY_FIELDS)
    refuse_read_only(payload, before, _CHANGED_BY)
    if payload.get("key", key) != key:
        raise Invalid("The key of a layer never changes; create another layer.", attr="key", code="immutable")
    layer.name = payload.get("name", layer.name)
    if "holdoutPercent" in payload:
        _hold_out(layer, _buckets_of(payload["holdoutPercent"]))
    layer.version += 1
    clean(layer)
    layer.save()
    after = layer_resource(layer)
    _ask(actor, locked, key, before, after)
    audit.services.record(actor=actor, action="layer.updated", at=environment, key=key, before=before, after=after)
    return layer


@gate.act("layer.delete")
@transaction.atomic
def delete_layer(*, actor: Actor, environment: Environment, key: str, reason: str = "") -> None:
    """Delete a layer that no experiment uses. Raises NotFound, or Conflict `in_use` naming the experiments."""
    locked = version_log.lock_environment(environment)
    layer = get_layer(environment, key)
    users = _experiments_in(layer)
    if users:
        raise Conflict(
            f"{key!r} is still used by: {', '.join(f'experiment {user}' for user in users)}. Complete them first.",
            code="in_use",
            attr="key",
        )
    before = layer_resource(layer)
    _ask(actor, locked, key, before, None)
    audit.services.record(actor=actor, action="layer.deleted", at=environment, key=key, before=before, reason=reason)
    _hold_out(layer, 0)
    try:
        layer.delete()
    except ProtectedError as error:
        names = ", ".join(sorted({str(user) for user in error.protected_objects}))
        raise Conflict(f"{key!r} is still named by: {names}. Change those first.", code="in_use", attr="key") from error


def reserve_range(layer: Layer, experiment_id: UUID, buckets: int) -> list[tuple[int, int]]:
    """Give the experiment `buckets` buckets of the layer in all. Return its half-open ranges, ascending.

    It keeps the buckets that it has. More buckets are the lowest free ones; with fewer it gives up its highest. This
    runs in the caller's transaction, under the environment's lock, and the caller audits. Raises Conflict `layer_full`.
    """
    if not 0 < buckets <= BUCKETS:
        raise Invalid(f"Reserve from 1 to {BUCKETS} buckets.", attr="trafficPercent", code="out_of_range")
    version_log.lock([layer.environment_id])
    owners: list[UUID | str | None] = [None] * BUCKETS
    for slot in LayerSlot.objects.filter(layer=layer):
        owners[slot.buckets.lower : slot.buckets.upper] = [slot.experiment_id or _HELD_OUT] * (
            slot.buckets.upper - slot.buckets.lower
        )
    mine = [bucket for bucket, owner in enumerate(owners) if owner == experiment_id][:buckets]
    free = [bucket for bucket, owner in enumerate(owners) if owner is None]
    missing = buckets - len(mine)
    if missing > len(free):
        raise Conflict(
            f"The layer {layer.key!r} has {len(free) / 100:g} % left, {missing / 100:g} % more are needed. Complete an "
            "experiment of it, or take part of the traffic.",
            code="layer_full",
            attr="trafficPercent",
        )
    ranges = _ranges(sorted(mine + free[:missing]))
    LayerSlot.objects.filter(layer=layer, experiment_id=experiment_id).delete()
    LayerSlot.objects.bulk_create(
        LayerSlot(layer=layer, experiment_id=experiment_id, buckets=Range(start, end)) for start, end in ranges
    )
    return ranges


def release_range(layer: Layer, experiment_id: UUID) -> None:
    """Give the experiment's buckets, if it has any, back to the layer in the caller's transaction."""
    LayerSlot.objects.filter(layer=layer, experiment_id=experiment_id).delete()


def _ask(
    actor: Actor,
    environment: Environment,
    key: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Ask the gate: a layer is in no document, and decides who is enrolled next."""
    piece = gate.Piece(environment, "layer", key, after, before=before, since=environment.config_version)
    gate.ask(actor=actor, pieces=[piece])


def _hold_out(layer: Layer, buckets: int) -> None:
    """Hold out the layer's highest buckets. Raises Conflict if an experiment has, or has just had, one of them."""
    first = BUCKETS - buckets
    users = _experiments_in(layer, beyond=first)
    if users:
        names = ", ".join(f"experiment {user}" for user in users)
        raise Conflict(
            f"A holdout of {buckets / 100:g} % reaches into what others of {layer.key!r} have: {names}. Hold out less, "
            "or wait: what a completed experiment had rests for 7 days.",
            code="holdout_conflict",
            attr="holdoutPercent",
        )
    layer.holdout_buckets = buckets
    LayerSlot.objects.filter(layer=layer, experiment_id__isnull=True).delete()
    if buckets:
        LayerSlot.objects.create(layer=layer, buckets=Range(first, BUCKETS))


def _experiments_in(layer: Layer, *, beyond: int = 0) -> list[str]:
    """The experiments that have, or had until lately, buckets of the layer above `beyond`."""
    found = LayerSlot.objects.filter(layer=layer, experiment_id__isnull=False)
    return sorted({str(slot.experiment_id) for slot in found if slot.buckets.upper > beyond})


def _buckets_of(percent: Any) -> int:
    is_number = isinstance(percent, (int, float)) and not isinstance(percent, bool)
    if not is_number or not 0 <= percent <= 100:
        raise Invalid("Hold out from 0 to 100 %.", attr="holdoutPercent", code="out_of_range")
    return round(percent * BUCKETS / 100)


def _ranges(buckets: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for bucket in buckets:
        if ranges and ranges[-1][1] == bucket:
            ranges[-1] = (ranges[-1][0], bucket + 1)
        else:
            ranges.append((bucket, bucket + 1))
    return ranges
