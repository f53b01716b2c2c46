"""The console's home page: health, tasks for people, running experiments and the latest changes."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import OperationalError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from approvals.attention import waiting_for
from audit.actions import label_of
from audit.models import Entry
from experiments.analysis import results_of
from experiments.jobs.timetable import JobState, job_states
from experiments.models import Experiment, ExperimentResult
from experiments.payloads import Results
from flags import staleness
from flags.models import FlagConfig
from flags.selectors import configs_of, in_state
from flagship.console.health import health_page, timetable
from flagship.console.navigation import may_make_flags
from tenancy.admin.audit_log import visible_entries
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.formats import counted
from tenancy.console_kit.pages import in_environment, object_url
from tenancy.models import Environment

_MOST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with its name and the page it leads to."""

    name: str
    value: str
    url: str = ""
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task that waits for a person."""

    text: str
    url: str
    why: str
    tone: str = "warn"


def page(request: HttpRequest) -> HttpResponse:
    """Show the home page of the environment that the address names."""
    return bind_to_address(request) or admin.site.index(request)


def fill(request: HttpRequest, shown: dict[str, Any]) -> dict[str, Any]:
    """Fill the home page as unfold's DASHBOARD_CALLBACK. The number of queries does not grow with the flags."""
    context = console_context(request)
    environment = context.environment
    shown = {
        **shown,
        "title": "Home",
        "environments": context.environments,
        "current_environment": environment,
        "may_create": may_make_flags(request),
    }
    if environment is None:
        return shown
    experiments = list(
        Experiment.objects.filter(environment=environment, status__in=Experiment.SERVED)
        .select_related("config__flag", "primary_metric")
        .order_by("-started_at")[:50]
    )
    latest = _latest_results(experiments)
    states = job_states([environment])
    upkeep = timetable.upkeep()
    return {
        **shown,
        "health": health_page.lines(environment),
        "jobs": timetable.kinds_of_jobs(environment, states),
        "upkeep": upkeep,
        "tiles": _flag_tiles(environment),
        "tasks": [
            *_reviews(request, environment),
            *_tasks(environment, experiments, latest),
            *_job_tasks(environment, states, upkeep),
        ],
        "experiments": [
            {"experiment": row, "result": latest.get(row.pk), "days": _days(row)} for row in experiments[:_MOST_ROWS]
        ],
        "changes": _changes(request),
    }


def _flag_tiles(environment: Environment) -> list[Tile]:
    states = ("on", "off", "killed", "archived")
    found = FlagConfig.objects.filter(environment=environment).aggregate(
        **{state: Count("pk", filter=in_state(state)) for state in states}
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


def _latest_results(experiments: list[Experiment]) -> dict[Any, Results]:
    rows = (
        ExperimentResult.objects.filter(experiment__in=experiments)
        .select_related("phase")
        .order_by("experiment_id", "-until", "-computed_at")
        .distinct("experiment_id")
    )
    return {row.experiment_id: results_of(row) for row in rows}


def _tasks(environment: Environment, experiments: list[Experiment], latest: dict[Any, Results]) -> list[Task]:
    tasks = [
        Task(
            f"{row.flag.key} is killed",
            reverse("admin:flags_flagconfig_change", args=[row.pk]),
            row.kill_reason or "no reason given",
            "bad",
        )
        for row in FlagConfig.objects.filter(in_state("killed"), environment=environment)
        .select_related("flag")
        .order_by("-killed_at")[:_MOST_ROWS]
    ]
    for experiment in experiments:
        tasks += _experiment_tasks(experiment, latest.get(experiment.pk))
    return [*tasks, *_stale_tasks(environment)]


def _reviews(request: HttpRequest, environment: Environment) -> list[Task]:
    """Name the requests that wait for this person, and the reviews that are owed after an emergency."""
    found = waiting_for(console_context(request).principal, environment)[:_MOST_ROWS]
    return [Task(one.request.title, object_url(one.request), one.why, one.tone) for one in found]


def _stale_tasks(environment: Environment) -> list[Task]:
    try:
        return _removals(environment)
    except OperationalError:
        # The store of events is another server. The line of health about it says that it is away.
        return []


def _removals(environment: Environment) -> list[Task]:
    """Ask for the removal of flags that decide nothing or that nobody evaluates, the longest unchanged first."""
    pks = staleness.longest_unchanged(environment, _MOST_ROWS)
    if not pks:
        return []
    configs = configs_of(environment, pks)
    evidence = staleness.evidence_of(environment, configs)
    tasks = []
    for config, _ in configs:
        served = [reason["variant"] for reason in evidence[config.pk]["reasons"] if reason["variant"] is not None]
        title = f"gives everybody {served[0]}" if served else "is no longer evaluated"
        tasks.append(
            Task(
                f"{config.flag.key} {title}",
                reverse("admin:flags_flagconfig_change", args=[config.pk]),
                f"unchanged since {evidence[config.pk]['lastChangedAt']:%d %b %Y}: take the flag out of the code, and "
                "archive it",
                "info",
            )
        )
    return tasks


def _job_tasks(environment: Environment, states: list[JobState], upkeep: list[timetable.Upkeep]) -> list[Task]:
    """List each failure by itself. All overdue jobs share one line, because they have one cause."""
    url = in_environment("admin:experiments_experiment_jobs", environment)
    tasks = [
        Task(f"{state.experiment.name}: {state.job} failed", url, state.last.outcome, "bad")
        for state in states
        if state.last is not None and state.is_failed
    ][:_MOST_ROWS]
    late = [f"{state.job} of {state.experiment.name}" for state in states if state.is_late]
    idle = [row for row in upkeep if row.is_late]
    if late or idle:
        names = [*late, *(row.name for row in idle)]
        count = len(names)
        tasks.append(
            Task(
                f"{counted(count, 'job is', 'jobs are')} overdue",
                url if late else idle[0].url,
                f"{', '.join(names[:3])}{' and others' if count > 3 else ''}: look whether beat and worker are running",
                "bad",
            )
        )
    return tasks


def _changes(request: HttpRequest) -> list[dict[str, Any]]:
    """List the latest entries. An entry about an experiment's alarm gets the experiment's name and page."""
    entries: list[Entry] = list(visible_entries(request)[:_MOST_ROWS])
    keys = {entry.entity_key for entry in entries if entry.entity_type == "experiment"}
    seen = Experiment.objects.filter(pk__in=keys, environment__in=console_context(request).environments)
    names = dict(seen.values_list("pk", "name")) if keys else {}
    by_key = {str(pk): name for pk, name in names.items()}
    return [
        {
            "entry": entry,
            "name": by_key.get(entry.entity_key) or _name_in(entry),
            "action": label_of(entry.action).lower(),
            "url": reverse("admin:experiments_experiment_change", args=[entry.entity_key])
            if entry.entity_key in by_key
            else "",
        }
        for entry in entries
    ]


def _name_in(entry: Entry) -> str:
    """Return the name that the entry holds for an experiment or a key. Its id or prefix would tell a reader nothing."""
    state = entry.after or entry.before or {}
    if entry.entity_type in {"experiment", "credential"} and state.get("name"):
        return str(state["name"])
    # A user whose events were erased or exported stands in the log as a hash. The entry's own page has all of it.
    return f"{entry.entity_key[:8]}…" if entry.entity_type == "user" else entry.entity_key


def _experiment_tasks(experiment: Experiment, result: Results | None) -> list[Task]:
    url = reverse("admin:experiments_experiment_results", args=[experiment.pk])
    tasks = []
    if experiment.status == Experiment.Status.PAUSED:
        tasks.append(Task(f"{experiment.name} is paused", url, "resume it, or decide"))
    if result is None:
        return tasks
    if not result.get("intact", True):
        return [*tasks, Task(f"{experiment.name}: stored result was changed", url, result["caveats"][0], "bad")]
    ratio = result["srm"]
    if ratio["warning"]:
        tasks.append(Task(f"{experiment.name}: sample ratio mismatch", url, "its figures cannot be trusted", "bad"))
    elif any(day["warning"] for day in ratio["daily"]):
        days = ", ".join(day["date"] for day in ratio["daily"] if day["warning"])
        tasks.append(Task(f"{experiment.name}: uneven arrivals", url, f"look into {days}"))
    violated = sorted({item["metric"] for item in result["guardrails"] if item["violated"]})
    if violated:
        tasks.append(Task(f"{experiment.name}: harm", url, f"guardrail {', '.join(violated)}", "bad"))
    if result["recommendation"]["action"] in {"ship", "stop", "drop_arm", "hold"}:
        tasks.append(Task(f"{experiment.name}: decide", url, result["recommendation"]["text"], "info"))
    return tasks


def _days(experiment: Experiment) -> str:
    now = timezone.now()
    if experiment.ends_at is not None and experiment.ends_at > now:
        left = (experiment.ends_at - now).days
        return f"{counted(left, 'day')} left"
    if experiment.started_at is None:
        return ""
    days = (now - experiment.started_at).days
    return f"day {days + 1}"
