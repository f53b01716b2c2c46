"""A project's flags by stage, and what its page of flag debt shows; remembered where they are very many."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Count, Max
from django.utils import timezone
from redis.exceptions import RedisError

from flags.lifecycle.evidence import Known, lifecycles, thresholds_of
from flags.lifecycle.stages import Stage
from flags.models import Flag
from tenancy.models import Project

MOST_SHOWN: Final = 100
_MOST_GROUPS = 20
NOBODY, UNKNOWN = "nobody", "not said"
# Fewer flags in all environments are looked at each time. It takes a blink.
_MANY = 5_000
_REMEMBERED_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Section:
    """Flags that wait for one reason: the first of them, and how many there are. `stage` is that of all, if any."""

    name: str
    title: str
    stage: str
    shown: list[Known]
    total: int

    @property
    def left_out(self) -> int:
        return self.total - len(self.shown)


@dataclass(frozen=True, slots=True)
class Overview:
    """`flags` has the ids of each stage's flags. `remembered_at` is when it was worked out, where that is not now."""

    flags: dict[Stage, list[int]]
    overdue: int
    sections: list[Section]
    groups: list[dict[str, Any]]
    remembered_at: datetime | None = None


def overview_of(project: Project) -> Overview:
    """Work out the stages of all active flags, or remember them: for ten minutes, and while no flag is changed.

    A change in one environment alone, and an evaluation, may show ten minutes later.
    """
    active = Flag.objects.filter(project=project, is_archived=False)
    known = active.aggregate(many=Count("pk"), changed=Max("updated_at"))
    now = timezone.now()
    if known["many"] * project.environments.count() < _MANY:
        return _overview(lifecycles(project, now=now), None)
    limits = astuple(thresholds_of(project))
    name = f"flag overview:{project.pk}:{known['many']}:{known['changed'].timestamp()}:{now.date()}:{limits}"
    try:
        found: Overview | None = cache.get(name)
    except RedisError:
        found = None
    if found is None:
        found = _overview(lifecycles(project, now=now), now)
        with suppress(RedisError):  # Without the cache, each request works it out anew.
            cache.set(name, found, _REMEMBERED_SECONDS)
    return found


def _overview(known: Sequence[Known], at: datetime | None) -> Overview:
    """List those flags first that nobody changed for longest."""
    by_stage: defaultdict[Stage, list[Known]] = defaultdict(list)
    for each in sorted(known, key=lambda each: (each.evidence.changed_at, each.flag.key)):
        by_stage[each.found.stage].append(each)
    overdue = [each for each in known if each.found.is_overdue and each.found.stage is not Stage.READY]
    overdue.sort(key=lambda each: (str(each.flag.expected_end), each.flag.key))
    past = [each for each in overdue if each.found.stage is not Stage.COMPLETE]
    sections = [
        ("ready", Stage.READY.label.capitalize(), Stage.READY.value, by_stage[Stage.READY]),
        ("complete", Stage.COMPLETE.label.capitalize(), Stage.COMPLETE.value, by_stage[Stage.COMPLETE]),
        ("overdue", "Past their expected end", "", past),
    ]
    return Overview(
        flags={stage: [each.flag.pk for each in by_stage[stage]] for stage in Stage if stage is not Stage.ARCHIVED},
        overdue=sum(each.found.is_overdue for each in known),
        sections=[
            Section(name, title, stage, found[:MOST_SHOWN], len(found))
            for name, title, stage, found in sections
            if found
        ],
        groups=[
            _groups("By owner", "owner", known, lambda flag: flag.owner),
            _groups("By team", "team", known, lambda flag: flag.team),
            _groups("By kind", "kind", known, lambda flag: flag.kind),
        ],
        remembered_at=at,
    )


def _groups(title: str, filter_name: str, known: Sequence[Known], of: Callable[[Flag], str]) -> dict[str, Any]:
    """Count by owner, team or kind, the most debt first."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in known:
        counts[of(each.flag)].update([each.found.stage.value, *(["overdue"] if each.found.is_overdue else [])])
    labels = {"": UNKNOWN if filter_name == "kind" else NOBODY, **dict(Flag.Kind.choices)}
    rows: list[dict[str, Any]] = [
        {
            "value": value,
            "label": labels.get(value, value) if filter_name == "kind" or not value else value,
            "complete": found[Stage.COMPLETE.value],
            "ready": found[Stage.READY.value],
            "overdue": found["overdue"],
            "flags": sum(found[stage.value] for stage in Stage),
        }
        for value, found in counts.items()
    ]
    rows.sort(key=lambda row: (-row["ready"] - row["complete"], -row["overdue"], str(row["label"])))
    shown = rows[:_MOST_GROUPS]
    return {"title": title, "filter": filter_name, "rows": shown, "left_out": len(rows) - len(shown)}
