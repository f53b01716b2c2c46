"""Reading where code refers to flags.

A flag's count is the sum over the repositories of its project. In each repository that branch counts which has the most
references: the default branch, or another one that was reported in the last days. So a flag that a branch still needs
is never called free of references.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from flags.models import CodeReference, Flag, ScannedBranch
from flags.references.links import place_url
from tenancy.errors import NotFound
from tenancy.models import Project

OTHER_BRANCHES_DAYS = 30


@dataclass(frozen=True, slots=True)
class Place:
    path: str
    line: int
    alias: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class OnBranch:
    """A flag on one scanned branch. `left_out` is how many references there are beyond the `places`."""

    branch: ScannedBranch
    is_counted: bool
    count: int
    gone_at: datetime | None
    gone_revision: str
    places: list[Place]

    @property
    def left_out(self) -> int:
        return max(0, self.count - len(self.places))


@dataclass(frozen=True, slots=True)
class FlagReferences:
    """`count` is None while no scan has looked for the flag. `gone_at` is when the last counted reference went."""

    count: int | None
    last_scanned_at: datetime | None
    gone_at: datetime | None
    branches: list[OnBranch]


def flag_in(project: Project, key: str) -> Flag:
    """Raises NotFound."""
    flag = Flag.objects.filter(project=project, key=key).select_related("project").first()
    if flag is None:
        raise NotFound(f"There is no flag {key!r} in {project.key}.", attr="flagKey")
    return flag


def reference_counts(flags: Iterable[Flag]) -> dict[int, int | None]:
    """Return how many references each flag has, by its id, in two queries however many flags there are.

    None means unknown: no repository of the flag's project was scanned, or none since the flag was made.
    """
    found = list(flags)
    scans = _last_scans({flag.project_id for flag in found})
    rows = CodeReference.objects.filter(_counted("branch__"), flag__in=[flag.pk for flag in found], count__gt=0)
    counts: Counter[int] = Counter()
    for flag_id, most in (
        rows.values("flag", "branch__repository").annotate(most=Max("count")).values_list("flag", "most")
    ):
        counts[flag_id] += most
    return {flag.pk: _count_of(flag, counts[flag.pk], scans.get(flag.project_id)) for flag in found}


def references_of(flag: Flag) -> FlagReferences:
    """Return the flag's references on every scanned branch of its project, with links to the places."""
    now = timezone.now()
    rows = {row.branch_id: row for row in CodeReference.objects.filter(flag=flag)}
    branches = [
        _on_branch(branch, rows.get(branch.pk), now) for branch in ScannedBranch.objects.filter(project=flag.project_id)
    ]
    count = reference_counts([flag])[flag.pk]
    gone = [each.gone_at for each in branches if each.is_counted and each.gone_at is not None]
    return FlagReferences(
        count,
        max((each.branch.scanned_at for each in branches if each.branch.scanned_at), default=None),
        max(gone, default=None) if count == 0 else None,
        branches,
    )


def on_branch(project_id: int, repository: str, branch: str) -> tuple[ScannedBranch | None, dict[int, CodeReference]]:
    """Return the branch, where its scan is known, and its rows by the id of the flag."""
    row = ScannedBranch.objects.filter(project=project_id, repository=repository, branch=branch).first()
    if row is None:
        return None, {}
    return row, {each.flag_id: each for each in CodeReference.objects.filter(branch=row).defer("places")}


def _counted(prefix: str = "") -> Q:
    recent = timezone.now() - timedelta(days=OTHER_BRANCHES_DAYS)
    return Q(**{f"{prefix}is_default": True}) | Q(**{f"{prefix}reported_at__gte": recent})


def _last_scans(project_ids: Iterable[int]) -> dict[int, datetime]:
    rows = ScannedBranch.objects.filter(project__in=project_ids, scanned_at__isnull=False)
    return dict(rows.order_by().values("project").annotate(last=Max("scanned_at")).values_list("project", "last"))


def _count_of(flag: Flag, count: int, last_scan: datetime | None) -> int | None:
    """A repository that was not scanned since the flag was made had no push since, so one later scan is enough."""
    return count if count or (last_scan is not None and last_scan > flag.created_at) else None


def _on_branch(branch: ScannedBranch, row: CodeReference | None, now: datetime) -> OnBranch:
    is_counted = branch.is_default or branch.reported_at >= now - timedelta(days=OTHER_BRANCHES_DAYS)
    if row is None:
        return OnBranch(branch, is_counted, 0, None, "", [])
    places = [_place(branch, place) for place in row.places]
    return OnBranch(branch, is_counted, row.count, row.gone_at, row.gone_revision, places)


def _place(branch: ScannedBranch, place: dict[str, Any]) -> Place:
    url = place_url(
        branch.link_template,
        path=place["path"],
        line=place["line"],
        revision=branch.revision,
        branch=branch.branch,
    )
    return Place(place["path"], place["line"], place.get("alias", ""), place.get("text", ""), url)
