"""Evidence about flags: what they serve in each environment, who asks for them, what needs them, what names them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from analytics import selectors as analytics
from analytics.usage import reading
from flags.documents import Ranges
from flags.lifecycle.stages import Evidence, Found, InEnvironment, Thresholds, stage_of
from flags.models import Flag, FlagConfig
from flags.references.reading import reference_counts
from flags.staleness import ASKED_FOR_DAYS, one_variant_of, plainness
from tenancy.models import Environment, Project

# A project that says nothing has these. A job that runs once a month asks for its flag within them.
NEW_DAYS = 14
UNUSED_DAYS = 45
# Evaluations are counted since this migration.
_COUNTING = ("analytics", "0024_flag_usage")


class _Group(NamedTuple):
    """What a flag does alike in several environments. The names are those of the columns."""

    flag_id: int
    is_enabled: bool
    kill_switch_variant: str
    off_variant: str
    default_variant: str
    allocation: Ranges
    is_plain: bool
    in_experiment: bool
    environments: list[int]
    changed_at: datetime

    @property
    def act(self) -> "_Act":
        served = one_variant_of(self, is_plain=self.is_plain)
        return _Act(
            tuple(self.environments), self.is_enabled, served, bool(self.kill_switch_variant), self.in_experiment
        )


class _Act(NamedTuple):
    """What evidence says of a group. Most flags do the same as others, so each is made into places once."""

    environments: tuple[int, ...]
    is_enabled: bool
    served: str | None
    is_killed: bool
    in_experiment: bool


class Known(NamedTuple):
    """A flag, the evidence and its stage."""

    flag: Flag
    evidence: Evidence
    found: Found


def thresholds_of(project: Project) -> Thresholds:
    """The project's own limits, else the defaults."""
    return Thresholds(
        new_days=project.flag_new_days or NEW_DAYS,
        unchanged_days=project.flag_unchanged_days or settings.STALE_FLAG_DAYS,
        unused_days=max(ASKED_FOR_DAYS, project.flag_unused_days or UNUSED_DAYS),
    )


def lifecycles(project: Project, flags: Iterable[Flag] | None = None, *, now: datetime | None = None) -> list[Known]:
    """Each flag with its evidence and stage: those given, which are of the project, else all that are not archived.

    The number of queries depends neither on that of the flags nor on that of the environments.
    """
    now = now or timezone.now()
    listed = list(Flag.objects.filter(project=project, is_archived=False) if flags is None else flags)
    evidence, limits = _evidence(project, listed, is_all=flags is None), thresholds_of(project)
    return [Known(flag, evidence[flag.pk], stage_of(evidence[flag.pk], limits, now)) for flag in listed]


def _evidence(project: Project, flags: Collection[Flag], *, is_all: bool) -> dict[int, Evidence]:
    environments = {row.pk: row for row in project.environments.order_by("-is_production", "key")}
    rows = FlagConfig.objects.filter(flag__project=project.pk)
    rows = rows.filter(flag__is_archived=False) if is_all else rows.filter(flag__in=[flag.pk for flag in flags])
    groups: defaultdict[int, list[_Group]] = defaultdict(list)
    for group in _read(rows):
        groups[group.flag_id].append(group)
    keys = [flag.key for flag in flags]
    asked = _last_evaluations(list(environments.values()), keys)
    needed, references, counted = _needed_by(project), reference_counts(flags), _counted_since()
    places: dict[tuple[_Act, ...], tuple[InEnvironment, ...]] = {}
    found = {}
    for flag in flags:
        here = groups[flag.pk]
        acts = tuple(group.act for group in here)
        if acts not in places:
            places[acts] = _places(environments, acts)
        asked_at, asked_by = asked.get(flag.key, (None, ""))
        found[flag.pk] = Evidence(
            created_at=flag.created_at,
            # Of its configurations alone: a new owner or description changes nothing that is served.
            changed_at=max((group.changed_at for group in here), default=flag.created_at),
            places=places[acts],
            kind=flag.kind,
            is_lasting=flag.is_lasting,
            expected_end=flag.expected_end,
            archived_at=(flag.archived_at or flag.updated_at) if flag.is_archived else None,
            asked_at=asked_at,
            asked_by=asked_by,
            counted_since=counted,
            references=references.get(flag.pk),
            needed_by=tuple(needed.get(flag.key, ())),
        )
    return found


def _read(rows: QuerySet[FlagConfig]) -> Iterable[_Group]:
    """Group in the database: where a project has many environments, most flags do the same in most of them."""
    given = rows.annotate(is_plain=plainness(), in_experiment=Q(experiment__isnull=False)).order_by()
    alike = given.values(*_Group._fields[:-2])
    grouped = alike.annotate(environments=ArrayAgg("environment", order_by="environment"), changed_at=Max("updated_at"))
    return (_Group(*row) for row in grouped.values_list(*_Group._fields).iterator())


def _places(environments: Mapping[int, Environment], acts: Iterable[_Act]) -> tuple[InEnvironment, ...]:
    by_environment = {pk: act for act in acts for pk in act.environments}
    return tuple(
        InEnvironment(
            name=where.name,
            is_production=where.is_production,
            is_enabled=act.is_enabled,
            served=act.served,
            is_killed=act.is_killed,
            in_experiment=act.in_experiment,
        )
        for pk, where in environments.items()
        if (act := by_environment.get(pk)) is not None
    )


def _last_evaluations(environments: list[Environment], keys: list[str]) -> dict[str, tuple[datetime, str]]:
    """When and by whom each flag was evaluated last, in any of the environments: by its usage and its exposures."""
    names = {row.pk: row.name for row in environments}
    last: dict[str, tuple[datetime, str]] = {}
    for key, use in reading.last_uses(list(names), keys).items():
        by = use.source.service or "a service"
        last[key] = (use.at, f"{by} in {names[use.source.environment_id]}")
    for key, (at, environment_id) in analytics.last_exposures(list(names), keys).items() if keys else ():
        if key not in last or at > last[key][0]:
            last[key] = (at, f"somebody in {names[environment_id]}")
    return last


def _needed_by(project: Project) -> dict[str, list[str]]:
    """By a flag's key: the active flags with this prerequisite anywhere."""
    rows = FlagConfig.objects.filter(flag__project=project, flag__is_archived=False).exclude(prerequisites=[])
    needed: defaultdict[str, set[str]] = defaultdict(set)
    for key, prerequisites in rows.values_list("flag__key", "prerequisites"):
        for one in prerequisites:
            needed[one["flagKey"]].add(key)
    return {key: sorted(users) for key, users in needed.items()}


def _counted_since() -> datetime | None:
    app, name = _COUNTING
    found = MigrationRecorder.Migration.objects.filter(app=app, name=name)
    return found.values_list("applied", flat=True).first()
