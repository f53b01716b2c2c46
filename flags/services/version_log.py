"""Appending to an environment's version log: one step for each change, under the lock of the environment's row."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.actors import Actor
from flags.documents import flag_document, flag_presentation
from flags.models import Change, FlagConfig
from flags.propagation import publishing
from flags.propagation.published_snapshots import ask_to_publish
from flags.services import gate
from tenancy.errors import Invalid, NotFound
from tenancy.models import Environment, Project


def lock(environment_ids: Iterable[int]) -> dict[int, Environment]:
    """Lock the environments' rows until the transaction ends. One fixed order prevents deadlocks between writers.

    A writer that holds the lock is the only one there, so version n is committed before another writer can use n + 1.
    """
    return _lock(Environment.objects.filter(pk__in=set(environment_ids)))


def lock_environment(environment: Environment) -> Environment:
    """Lock one environment and return its row as it is now. Raises NotFound if it has been deleted meanwhile."""
    locked = lock([environment.pk])
    if environment.pk not in locked:
        raise NotFound(f"The environment {environment.key!r} has been deleted meanwhile.")
    return locked[environment.pk]


def lock_project(project: Project) -> dict[int, Environment]:
    """Lock all environments of a project."""
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
    presentation: dict[str, Any] | None = None,
) -> Change:
    """Append one step for an environment that `lock` has locked, and publish it after the commit.

    Raises Invalid for a document that could be stored but not published.
    """
    change = Change(kind=kind, entity=entity, key=key, document=document, presentation=presentation or {})
    append_each(environment=environment, actor=actor, changes=[change])
    return change


def append_each(*, environment: Environment, actor: Actor, changes: Sequence[Change]) -> None:
    """Append a step for each of many changes, in their order, with as many queries as for one.

    Nothing else changes what is served, so this asks the gate. Raises Refused.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("The log must be appended to inside the transaction of the change it describes.")
    last = _counted_on(environment, len(changes))
    environment.config_version = last - len(changes)
    for version, change in enumerate(changes, environment.config_version + 1):
        refuse_unsendable(change.document)
        change.environment, change.version, change.actor_label = environment, version, actor.label
    gate.ask(actor=actor, pieces=[_piece(environment, change) for change in changes])
    environment.config_version = last
    Change.objects.bulk_create(changes)
    # The change is committed, so an error from here on is only logged. The sweep publishes the steps.
    transaction.on_commit(lambda: publishing.publish_changes(changes), robust=True)
    transaction.on_commit(ask_to_publish, robust=True)


def _counted_on(environment: Environment, steps: int) -> int:
    """Take the next versions in the database, and return the last of them.

    The row in hand may be behind, where another one of it was written, or ahead, where a savepoint was taken back. A
    version that is left out would never be published, and nor would any after it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_environment SET config_version = config_version + %s WHERE id = %s "
            "RETURNING config_version",
            [steps, environment.pk],
        )
        last: int = cursor.fetchone()[0]
    return last


def _piece(environment: Environment, change: Change) -> gate.Piece:
    return gate.Piece(
        environment=environment,
        entity=change.entity,
        key=change.key,
        document=change.document,
        presentation=change.presentation,
        since=environment.config_version,
        kind=change.kind,
    )


def append_flag(
    actor: Actor, config: FlagConfig, environment: Environment, kind: Change.Kind = Change.Kind.FLAG_UPDATED
) -> Change:
    """Append the flag as evaluators get it now, in an environment that `lock` has locked."""
    change = flag_change(config, kind)
    append_each(environment=environment, actor=actor, changes=[change])
    return change


def flag_change(config: FlagConfig, kind: Change.Kind) -> Change:
    """Return the flag's step, which has no version yet."""
    return Change(
        kind=kind,
        entity=Change.Entity.FLAG,
        key=config.flag.key,
        document=flag_document(config),
        presentation=flag_presentation(config.flag),
    )


def refuse_unsendable(document: Any, path: str = "") -> None:
    """Raise Invalid for a number beyond 64 bits: the database would store it, and no process could read the log.

    This includes floats, because jsonb gives 1e21 back as an integer.
    """
    if isinstance(document, dict):
        for name, value in document.items():
            refuse_unsendable(value, f"{path}.{name}" if path else name)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            refuse_unsendable(value, f"{path}[{index}]")
    elif isinstance(document, (int, float)) and not -(2**63) <= document < 2**63:
        raise Invalid("Give a number that 64 bits hold, or send it as text.", attr=path, code="out_of_range")
