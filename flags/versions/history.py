"""Reading the version log: what a flag was at a time, and what changed from one version to the next."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from audit.services import diff
from flags.documents import CONTRACT_VERSION, environment_header, past_resource
from flags.models import Change, Flag
from flags.selectors import get_config
from flags.versions.loading import floor_of
from tenancy.errors import Invalid, NotFound
from tenancy.models import Environment

# What an experiment writes into the flag, which the flag's resource does not show.
_WRITTEN_BY_EXPERIMENTS = ("experiment", "salt")
# These differ in every step, so they are not shown as changes.
_BOOKKEEPING = frozenset({"version", "updatedAt"})


def flag_changes(environment: Environment, key: str) -> QuerySet[Change]:
    """The flag's steps in this environment, the newest first."""
    found = Change.objects.filter(environment=environment, entity=Change.Entity.FLAG, key=key)
    return found.order_by("-version")


def document_of_version(environment: Environment, key: str, version: int) -> dict[str, Any]:
    """Return what evaluators got at the flag's own `version`. Raises Invalid `unknown_version`."""
    step = flag_changes(environment, key).filter(document__version=version).first()
    if step is None or step.document is None:
        raise Invalid(
            f"The flag {key!r} has no version {version} here; see its versions.", attr="version", code="unknown_version"
        )
    return step.document


def resource_at(environment: Environment, key: str, moment: datetime) -> dict[str, Any]:
    """Return the flag as it was at that moment. Raises NotFound if it did not exist or the log was pruned since."""
    flag = get_config(environment, key).flag
    version = version_at(environment, moment)
    step = flag_changes(environment, key).filter(created_at__lte=moment).first()
    # The floor is read last, because steps may be pruned while they are read.
    if version < floor_of(environment.pk):
        raise NotFound("The version log no longer goes back so far.", attr="at")
    if step is None:
        raise NotFound(f"There was no flag {key!r} in {environment.key} at that time.", attr="at")
    is_archived = step.document is None
    served = step if not is_archived else _last_served(environment, key, before=step.version)
    if served is None or served.document is None:
        raise NotFound(f"The flag {key!r} was not served in {environment.key} at that time.", attr="at")
    return past_resource(flag, step, served.document, is_archived=is_archived)


def _last_served(environment: Environment, key: str, *, before: int) -> Change | None:
    return flag_changes(environment, key).filter(version__lt=before, document__isnull=False).first()


def version_at(environment: Environment, moment: datetime) -> int:
    """Return the environment's configuration version at that moment; 0 before its first."""
    found = Change.objects.filter(environment=environment, created_at__lte=moment).order_by("-version")
    return found.values_list("version", flat=True).first() or 0


def document_for(environment: Environment, version: int, keys: Iterable[str]) -> dict[str, Any]:
    """Return a snapshot as of a version with these flags, their prerequisites and the segments alone.

    A question about one flag of 10,000 takes milliseconds this way.
    """
    steps = Change.objects.filter(environment=environment, version__lte=version).order_by("entity", "key", "-version")
    newest = steps.distinct("entity", "key").values_list("key", "document")
    flags: dict[str, dict[str, Any]] = {}
    asked, missing = set(), set(keys)
    while missing:
        asked |= missing
        found = newest.filter(entity=Change.Entity.FLAG, key__in=missing)
        flags |= {key: document for key, document in found if document is not None}
        missing = {item["flagKey"] for document in flags.values() for item in document["prerequisites"]} - asked
    segments = newest.filter(entity=Change.Entity.SEGMENT)
    return {
        "contract": CONTRACT_VERSION,
        "environment": environment_header(environment),
        "version": version,
        "flags": flags,
        "segments": {key: document for key, document in segments if document is not None},
    }


def version_resources(environment: Environment, flag: Flag, steps: Iterable[Change]) -> Iterator[dict[str, Any]]:
    """Show steps, which come newest first and without a gap, each with its difference from the step before it."""
    listed = list(steps)
    if not listed:
        return
    before_last = flag_changes(environment, flag.key).filter(version__lt=listed[-1].version).first()
    for step, previous in zip(listed, [*listed[1:], before_last], strict=True):
        after, before = _shown(flag, step), _shown(flag, previous) if previous else None
        # If steps between them were pruned, the difference would be that of several changes.
        is_known = before is not None and after is not None and after["version"] - before["version"] <= 1
        changes = [*diff(before, after), *diff(_hidden(previous), _hidden(step))] if is_known else []
        yield {
            "version": step.document["version"] if step.document else None,
            "configVersion": step.version,
            "kind": step.kind,
            "actor": step.actor_label,
            "createdAt": step.created_at,
            "flag": after,
            "changes": [change for change in changes if change["path"] not in _BOOKKEEPING],
        }


def _hidden(step: Change | None) -> dict[str, Any]:
    document = (step.document if step else None) or {}
    return {name: document.get(name) for name in _WRITTEN_BY_EXPERIMENTS}


def _shown(flag: Flag, step: Change) -> dict[str, Any] | None:
    if step.document is None:
        return None
    return past_resource(flag, step, step.document, is_archived=False)
