"""Everything that the runtime asks PostgreSQL for: versions, steps, documents and compiled environments."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Subquery
from openflagship.engine import CompiledEnvironment

from flags.documents import CONTRACT_VERSION, environment_header
from flags.models import Change, LogFloor
from flags.versions.steps import Step, steps_of
from tenancy.models import Environment, KeyringRevision

# A process that is further behind loads the whole environment.
MOST_STEPS_FETCHED = 2_000


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions in the database: one for each environment, and the keyring's."""

    environments: dict[int, int]
    keyring: int


def current_versions() -> Versions:
    """Read them in one query, however many environments there are."""
    revision = Subquery(KeyringRevision.objects.values("value")[:1])
    rows = list(
        Environment.objects.annotate(keyring=revision).order_by().values_list("pk", "config_version", "keyring")
    )
    return Versions({pk: version for pk, version, _ in rows}, (rows[0][2] or 0) if rows else 0)


def steps_since(environment_id: int, version: int) -> list[Step] | None:
    """The steps after `version`, without a gap. None if the log no longer has them all, or they are too many."""
    changes = Change.objects.filter(environment_id=environment_id, version__gt=version).order_by("version")
    steps = steps_of(changes[: MOST_STEPS_FETCHED + 1])
    if len(steps) > MOST_STEPS_FETCHED or (steps and steps[-1].version - version != len(steps)):
        return None
    return steps


def floor_of(environment_id: int) -> int:
    """The version from which on the log is complete. Catch-up, history and time travel reach back to it."""
    return LogFloor.objects.filter(pk=environment_id).values_list("version", flat=True).first() or 0


def recent_steps(environment_id: int, after: int) -> list[Step]:
    """The steps after `after`, or after the log's floor, in order and without a gap."""
    changes = Change.objects.filter(environment_id=environment_id, version__gt=max(after, floor_of(environment_id)))
    return steps_of(changes.order_by("version"))


def load_document(environment_id: int, *, version: int | None = None) -> dict[str, Any] | None:
    """Build the snapshot document as of `version`, which is the current version by default.

    None if the environment was deleted, or the log no longer goes back to that version.
    """
    row = Environment.objects.select_related("project__organization").filter(pk=environment_id).first()
    if row is None:
        return None
    upto = row.config_version if version is None else version
    document = _document_at(row, upto)
    # The floor is read last, because steps may be pruned while they are read.
    if floor_of(environment_id) > upto:
        return load_document(environment_id) if version is None else None
    return document


def _document_at(row: Environment, upto: int) -> dict[str, Any]:
    latest = (
        Change.objects.filter(environment_id=row.pk, version__lte=upto)
        .order_by("entity", "key", "-version")
        .distinct("entity", "key")
        .values_list("entity", "key", "document")
    )
    document: dict[str, Any] = {
        "contract": CONTRACT_VERSION,
        "environment": environment_header(row),
        "version": upto,
        "flags": {},
        "segments": {},
    }
    for entity, key, content in latest:
        if content is not None:
            document["flags" if entity == Change.Entity.FLAG else "segments"][key] = content
    return document


def load_environment(environment_id: int) -> CompiledEnvironment | None:
    document = load_document(environment_id)
    # The code is generated here, so that no request has to wait for the first use of a flag.
    return CompiledEnvironment.from_document(document).prepare() if document else None
