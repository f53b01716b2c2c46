"""Taking what a scan of a repository found: per repository and branch, whole or in parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

import audit.services
from audit.actors import Actor
from flags.models import CodeReference, Flag, ScannedBranch
from flags.references.links import template_of
from flags.references.reading import OTHER_BRANCHES_DAYS
from tenancy.errors import Conflict, Invalid, NotFound
from tenancy.models import Project
from tenancy.refusals import refuse_unknown

BRANCH_FIELDS = ("repository", "branch", "isDefault", "revision", "url", "host", "linkTemplate")
SCAN_FIELDS = (*BRANCH_FIELDS, "scan", "isLast", "flags", "gone")
FLAG_FIELDS = (*BRANCH_FIELDS, "count", "places", "goneAt", "goneRevision")
_MOST_NAMED = 100
_MOST_SUPERSEDED = 10


@dataclass(frozen=True, slots=True)
class _Before:
    """What was known of a branch: its counts by the flag's id, and whether it is new."""

    counts: dict[int, int]
    is_new: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a report came to. `flags` and `references` are the branch's totals after it."""

    branch: ScannedBranch
    flags: int
    references: int
    gone: list[str]
    unknown: list[str]


@transaction.atomic
def record_scan(*, actor: Actor, project: Project, payload: Mapping[str, Any]) -> Recorded:
    """Replace what is known of a branch by what a scan of it found; the same report twice changes nothing more.

    A large scan comes in parts with one id. At the last part, flags that no part named are gone from the branch. Keys
    that no flag of the project has are passed over and named. Raises Invalid, and Conflict once another scan has begun.
    """
    refuse_unknown(payload, SCAN_FIELDS)
    branch, before = _locked_branch(project, payload)
    now, scan = timezone.now(), payload.get("scan") or uuid4()
    _begin(branch, scan)
    found = {row["key"]: row for row in payload.get("flags", ())}
    gone = {row["key"]: row for row in payload.get("gone", ()) if row["key"] not in found}
    ids = dict(Flag.objects.filter(project=project, key__in=[*found, *gone]).values_list("key", "pk"))
    rows = [_row(branch, ids[key], scan, row, now) for key, row in {**found, **gone}.items() if key in ids]
    _store(rows)
    newly_gone: list[str] = []
    if payload.get("isLast", True):
        branch.revision, branch.scanned_at = payload.get("revision", ""), now
        newly_gone = _forget_the_rest(branch, scan, now)
        _forget_old_branches(branch, now)
    newly_gone = sorted({*newly_gone, *(key for key in gone if key in ids and before.counts.get(ids[key]))})
    unknown = sorted(key for key in (*found, *gone) if key not in ids)
    return _finished(actor, branch, before, gone=newly_gone, unknown=unknown)


@transaction.atomic
def record_flag(*, actor: Actor, flag: Flag, payload: Mapping[str, Any]) -> Recorded:
    """Replace what is known of one flag on a branch; the rest of the branch stays. Raises Invalid."""
    refuse_unknown(payload, FLAG_FIELDS)
    branch, before = _locked_branch(flag.project, payload)
    count = payload["count"]
    if count == 0 and payload.get("places"):
        raise Invalid("A flag without references has no places.", attr="places")
    sent = {"count": count, "places": payload.get("places", [])} if count else _gone_of(payload)
    scan = branch.scan or uuid4()
    is_news = bool(count) or flag.pk in before.counts or "goneAt" in payload
    _store([_row(branch, flag.pk, scan, sent, timezone.now())] if is_news else [])
    branch.scan = scan
    is_gone = not count and before.counts.get(flag.pk)
    return _finished(actor, branch, before, gone=[flag.key] if is_gone else [], unknown=[])


@transaction.atomic
def forget_branches(*, actor: Actor, project: Project, repository: str, branch: str | None = None) -> int:
    """Forget a branch of a repository, or all of them, with the references there. Raises NotFound."""
    found = ScannedBranch.objects.select_for_update().filter(project=project, repository=repository)
    rows = list(found if branch is None else found.filter(branch=branch))
    if not rows:
        raise NotFound("No such repository or branch was scanned for this project.", attr="repository")
    acts = [audit.services.Act("references.forgotten", str(row), before=_state(row)) for row in rows]
    ScannedBranch.objects.filter(pk__in=[row.pk for row in rows]).delete()
    audit.services.record_each(actor=actor, at=project, acts=acts)
    return len(rows)


def _gone_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": payload.get("goneAt") or timezone.now(), "revision": payload.get("goneRevision", "")}


def _locked_branch(project: Project, payload: Mapping[str, Any]) -> tuple[ScannedBranch, _Before]:
    """Return the branch, and what was known of it. Reports of a project wait for each other."""
    # Without the key, so that flags may be made meanwhile.
    Project.objects.select_for_update(no_key=True, of=("self",)).get(pk=project.pk)
    branches = ScannedBranch.objects.filter(project=project, repository=payload["repository"])
    branch = branches.filter(branch=payload["branch"]).first()
    if branch is None:
        branch = ScannedBranch(project=project, repository=payload["repository"], branch=payload["branch"])
    others = branches.filter(is_default=True).exclude(pk=branch.pk)
    if payload.get("isDefault") is True:
        others.update(is_default=False)
        branch.is_default = True
    elif payload.get("isDefault") is False:
        branch.is_default = False
    elif not branch.is_default:
        # Somebody who names no default branch scans that one alone.
        branch.is_default = not others.exists()
    if payload.get("linkTemplate") or payload.get("url"):
        branch.link_template = payload.get("linkTemplate") or template_of(payload["url"], payload.get("host"))
    is_new = branch.pk is None
    branch.save()
    return branch, _Before(dict(branch.references.values_list("flag", "count")), is_new)


def _begin(branch: ScannedBranch, scan: UUID) -> None:
    """Make it the branch's scan. Of two whose parts come by turns, the one that began last counts."""
    if scan in branch.superseded:
        raise Conflict(f"Another scan of {branch} has begun since, and counts.", code="superseded", attr="scan")
    if branch.scan not in {None, scan}:
        branch.superseded = [*branch.superseded, branch.scan][-_MOST_SUPERSEDED:]
    branch.scan = scan


def _row(branch: ScannedBranch, flag_id: int, scan: UUID, sent: Mapping[str, Any], now: datetime) -> CodeReference:
    if "count" in sent:
        return CodeReference(
            branch=branch, flag_id=flag_id, scan=scan, count=sent["count"], places=list(sent.get("places", ()))
        )
    # A commit's date is whatever its author's clock said.
    at = min(sent["at"], now)
    return CodeReference(
        branch=branch, flag_id=flag_id, scan=scan, count=0, gone_at=at, gone_revision=sent.get("revision", "")
    )


def _store(rows: list[CodeReference]) -> None:
    CodeReference.objects.bulk_create(
        rows,
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["branch", "flag"],
        update_fields=["count", "places", "scan", "gone_at", "gone_revision"],
    )


def _forget_the_rest(branch: ScannedBranch, scan: UUID, now: datetime) -> list[str]:
    rest = CodeReference.objects.filter(branch=branch, count__gt=0).exclude(scan=scan)
    keys = list(rest.values_list("flag__key", flat=True))
    rest.update(count=0, places=[], gone_at=now, gone_revision=branch.revision)
    return keys


def _forget_old_branches(branch: ScannedBranch, now: datetime) -> None:
    """Branches are many and short-lived. Those that count no more go with the next scan of their repository."""
    long_ago = now - timedelta(days=OTHER_BRANCHES_DAYS)
    rows = ScannedBranch.objects.filter(project=branch.project_id, repository=branch.repository)
    rows.filter(is_default=False, reported_at__lt=long_ago).exclude(pk=branch.pk).delete()


def _state(branch: ScannedBranch) -> dict[str, Any]:
    total = branch.references.filter(count__gt=0).aggregate(flags=Count("pk"), references=Sum("count"))
    return {
        "repository": branch.repository,
        "branch": branch.branch,
        "isDefault": branch.is_default,
        "flags": total["flags"],
        "references": total["references"] or 0,
    }


def _finished(actor: Actor, branch: ScannedBranch, before: _Before, *, gone: list[str], unknown: list[str]) -> Recorded:
    branch.save()
    after = _state(branch)
    # A scan that found what is known is no change; its time is on the flags' pages.
    if before.is_new or dict(branch.references.values_list("flag", "count")) != before.counts:
        counts = [count for count in before.counts.values() if count]
        was = None if before.is_new else {**after, "flags": len(counts), "references": sum(counts)}
        audit.services.record(
            actor=actor,
            action="references.scanned",
            at=branch.project,
            key=str(branch),
            before=was,
            after={**after, "gone": gone[:_MOST_NAMED]},
        )
    return Recorded(branch, after["flags"], after["references"], gone, unknown)
