"""The console's home page: is everything well, what needs a person, what runs, what was changed lately."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from analytics import stream
from experiments.models import Experiment, ExperimentResult
from flags.models import FlagConfig
from flags.runtime import RUNTIME
from flags.streaming.board import LATE_AFTER_MS
from flagship.console.reach import reach_of
from tenancy.admin import TenantEntryAdmin, visit
from tenancy.models import Environment, Role

_MOST_ROWS = 10
# A flag that has given everybody one variant for so long is a decision taken: the code may lose the question.
_STALE_AFTER = timedelta(days=30)
_INGEST_LATE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with its name, and where it leads."""

    name: str
    value: str
    url: str = ""
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Something that waits for a person."""

    text: str
    url: str
    why: str
    tone: str = "warn"


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: in a constant number of queries, whatever the number of flags."""
    looking = visit(request)
    environment = looking.environment
    context = {
        **context,
        "title": "Home",
        "environments": looking.environments,
        "current_environment": environment,
        "may_create": looking.may(Role.EDITOR, environment),
    }
    if environment is None:
        return context
    looking.remember(environment)
    experiments = list(
        Experiment.objects.filter(environment=environment, status__in=Experiment.SERVED)
        .select_related("config__flag", "primary_metric")
        .order_by("-started_at")[:50]
    )
    latest = _latest_results(experiments)
    return {
        **context,
        "health": _health(environment),
        "tiles": _flag_tiles(environment),
        "tasks": _tasks(environment, experiments, latest),
        "experiments": [
            {"experiment": row, "result": latest.get(row.pk), "days": _days(row)} for row in experiments[:_MOST_ROWS]
        ],
        "changes": TenantEntryAdmin.visible_to(request)[:_MOST_ROWS],
    }


def _health(environment: Environment) -> list[Tile]:
    served = RUNTIME.environments.get(environment.pk)
    version = served.version if served else None
    is_current = version == environment.config_version
    reach: list[Tile] = []
    try:
        waiting, lag = stream.length(), stream.lag_seconds()
        reach = _reach(environment)
        ingest = Tile(
            "Events on their way",
            "none waiting" if not waiting else f"{lag:.1f} s behind",
            note=f"{waiting} batches in the stream",
            tone="good" if lag < _INGEST_LATE_SECONDS else "bad",
        )
        redis = Tile("Redis", "connected", url=reverse("readyz"), tone="good")
    except (RedisError, OSError):
        ingest = Tile("Events on their way", "unknown", note="Redis is away", tone="warn")
        redis = Tile(
            "Redis", "away", url=reverse("readyz"), note="changes are polled, events wait in memory", tone="bad"
        )
    return [
        Tile(
            "Configuration served here",
            f"version {version}" if version is not None else "none yet",
            note=_confirmed(is_current=is_current),
            tone="good" if is_current else "warn",
        ),
        *reach,
        ingest,
        Tile("PostgreSQL", "connected", url=reverse("readyz"), tone="good"),
        redis,
    ]


def _reach(environment: Environment) -> list[Tile]:
    found = reach_of(environment)
    config = FlagConfig.objects.filter(environment=environment, flag__key=found.last_kill).first()
    board = reverse("admin:flags_flagconfig_board", args=[config.pk]) if config is not None else ""
    behind = found.connected - found.current
    connected = Tile(
        "Services connected",
        f"{found.connected:,}",
        url=board,
        note=f"{behind:,} not on version {environment.config_version} yet"
        if behind
        else f"all on version {environment.config_version}"
        if found.connected
        else "none in the last minute",
        tone="warn" if behind else "good" if found.connected else "",
    )
    p99 = found.p99_ms
    propagation = Tile(
        "A kill reaches 99 % of them",
        "not measured yet" if p99 is None else f"within {p99:,} ms",
        url=board,
        note=f"{found.acknowledgements:,} acknowledgements of the last kills"
        if p99 is not None
        else "no kill this week",
        tone="" if p99 is None else "bad" if p99 > LATE_AFTER_MS else "good",
    )
    return [connected, propagation]


def _confirmed(*, is_current: bool) -> str:
    if not RUNTIME.is_ready:
        return "this process serves no evaluations"
    return f"{'current' if is_current else 'catching up'}, confirmed {RUNTIME.age_seconds:.0f} s ago"


def _flag_tiles(environment: Environment) -> list[Tile]:
    live = Q(flag__is_archived=False)
    found = FlagConfig.objects.filter(environment=environment).aggregate(
        on=Count("pk", filter=live & Q(is_enabled=True, kill_switch_variant="")),
        off=Count("pk", filter=live & Q(is_enabled=False, kill_switch_variant="")),
        killed=Count("pk", filter=live & ~Q(kill_switch_variant="")),
        archived=Count("pk", filter=~live),
    )
    url = reverse("admin:flags_flagconfig_changelist")
    return [
        Tile(name, f"{found[state]:,}", f"{url}?environment={environment.pk}&state={state}", tone=tone)
        for name, state, tone in (
            ("Flags on", "on", "good"),
            ("Flags off", "off", ""),
            ("Flags killed", "killed", "bad" if found["killed"] else ""),
            ("Flags archived", "archived", ""),
        )
    ]


def _latest_results(experiments: list[Experiment]) -> dict[Any, dict[str, Any]]:
    rows = (
        ExperimentResult.objects.filter(experiment__in=experiments)
        .order_by("experiment_id", "-until", "-computed_at")
        .distinct("experiment_id")
        .values_list("experiment_id", "payload")
    )
    return dict(rows)


def _tasks(environment: Environment, experiments: list[Experiment], latest: dict[Any, dict[str, Any]]) -> list[Task]:
    tasks = [
        Task(
            f"{row.flag.key} is killed",
            reverse("admin:flags_flagconfig_change", args=[row.pk]),
            row.kill_reason or "no reason given",
            "bad",
        )
        for row in FlagConfig.objects.filter(environment=environment, flag__is_archived=False)
        .exclude(kill_switch_variant="")
        .select_related("flag")
        .order_by("-killed_at")[:_MOST_ROWS]
    ]
    for experiment in experiments:
        tasks += _experiment_tasks(experiment, latest.get(experiment.pk))
    stale = FlagConfig.objects.filter(
        environment=environment,
        flag__is_archived=False,
        is_enabled=True,
        kill_switch_variant="",
        rules__isnull=True,
        targets=[],
        experiment__isnull=True,
        allocation__0__0=0,
        allocation__0__1=10_000,
        updated_at__lt=timezone.now() - _STALE_AFTER,
    ).select_related("flag")
    tasks += [
        Task(
            f"{row.flag.key} gives everybody {row.allocation[0][2]}",
            reverse("admin:flags_flagconfig_change", args=[row.pk]),
            f"unchanged since {row.updated_at:%d %b %Y}: take the question out of the code, and archive it",
            "info",
        )
        for row in stale.order_by("updated_at")[:_MOST_ROWS]
    ]
    return tasks


def _experiment_tasks(experiment: Experiment, result: dict[str, Any] | None) -> list[Task]:
    url = reverse("admin:experiments_experiment_results", args=[experiment.pk])
    tasks = []
    if experiment.status == Experiment.Status.PAUSED:
        tasks.append(Task(f"{experiment.name} is paused", url, "resume it, or decide"))
    if result is None:
        return tasks
    ratio = result["srm"]
    if ratio["warning"]:
        tasks.append(Task(f"{experiment.name}: sample ratio mismatch", url, "its figures cannot be trusted", "bad"))
    elif any(day["warning"] for day in ratio["daily"]):
        days = ", ".join(day["date"] for day in ratio["daily"] if day["warning"])
        tasks.append(Task(f"{experiment.name}: uneven arrivals", url, f"look into {days}"))
    violated = sorted({item["metric"] for item in result["guardrails"] if item["violated"]})
    if violated:
        tasks.append(Task(f"{experiment.name}: harm", url, f"guardrail {', '.join(violated)}", "bad"))
    if result["recommendation"]["action"] in {"ship", "stop"}:
        tasks.append(Task(f"{experiment.name}: decide", url, result["recommendation"]["text"], "info"))
    return tasks


def _days(experiment: Experiment) -> str:
    now = timezone.now()
    if experiment.ends_at is not None and experiment.ends_at > now:
        left = (experiment.ends_at - now).days
        return f"{left} day{'' if left == 1 else 's'} left"
    if experiment.started_at is None:
        return ""
    days = (now - experiment.started_at).days
    return f"day {days + 1}"
