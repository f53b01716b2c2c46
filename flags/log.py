"""The environment's version log: one step per change, monotonic, appended under the environment's row lock."""

from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.actors import Actor
from flags import propagation
from flags.models import Change
from tenancy.models import Environment, Project


def lock(environment_ids: Iterable[int]) -> dict[int, Environment]:
    """Lock the environments' rows until the transaction ends, always in one order so that two writers never deadlock.

    Whoever holds the lock is the only writer there: version n commits before anyone can take n + 1.
    """
    return _lock(Environment.objects.filter(pk__in=set(environment_ids)))


def lock_project(project: Project) -> dict[int, Environment]:
    """As `lock`, all environments of a project."""
    return _lock(Environment.objects.filter(project=project))


def _lock(found: QuerySet[Environment]) -> dict[int, Environment]:
    rows = found.select_for_update(of=("self",)).select_related("project__organization").order_by("pk")
    return {row.pk: row for row in rows}


def append(
    *,
    environment: Environment,
    actor: Actor,
    kind: Change.Kind,
    key: str,
    document: dict[str, Any] | None,
    entity: Change.Entity = Change.Entity.FLAG,
    about: dict[str, Any] | None = None,
) -> Change:
    """Append one step for an environment that `lock` has locked, and publish it once the transaction has committed."""
    if not connection.in_atomic_block:
        raise RuntimeError("log.append() must run inside the transaction of the change it describes.")
    environment.config_version += 1
    environment.save(update_fields=["config_version"])
    change = Change.objects.create(
        environment=environment,
        version=environment.config_version,
        kind=kind,
        entity=entity,
        key=key,
        document=document,
        about=about or {},
        actor_label=actor.label,
    )
    transaction.on_commit(lambda: propagation.publish_change(change))
    return change
