"""The health page: one line for each part of the platform, with what the line means and what to do."""

import shutil
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib import admin
from django.core.cache import cache
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError
from analytics.selectors import variants_seen
from flags.models import FlagConfig
from flags.propagation.kill_status import LATE_AFTER_MS
from flags.propagation.runtime import RUNTIME
from flags.propagation.served_names import served_flags
from flagship.console.health import timetable
from flagship.console.health.cautions import cautions
from flagship.console.health.line import Line
from flagship.console.health.reach import Reach, reach_of
from flagship.console.health.rollouts import rollouts_line
from flagship.console.health.told import told
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.formats import duration
from tenancy.models import Environment

_INGEST_LATE_SECONDS = 10
_MOST_NAMES = 5
_CACHED_SECONDS = 60
_LEAST_FREE_BYTES = 2**30


def lines(environment: Environment) -> list[Line]:
    reach: list[Line] = []
    redis_is_there = True
    try:
        waiting, lag = broker().length(), broker().lag_seconds()
        reach = _reach(environment)
        events = (
            "none waiting" if not waiting else f"{lag:.1f} s behind",
            f"{waiting:,} batches in the stream",
            "good" if lag < _INGEST_LATE_SECONDS else "bad",
        )
    except (BrokerAwayError, RedisError, OSError):
        redis_is_there = False
        events = ("unknown", "Redis is away", "warn")
    shown = [_configuration(environment), *reach, _events(*events), _unknown(environment), rollouts_line(environment)]
    shown = [*shown, *cautions(environment), *told(environment)]
    return [*shown, _postgresql(), _redis(is_there=redis_is_there), *_disk()]


def page(request: HttpRequest) -> HttpResponse:
    moved = bind_to_address(request)
    if moved is not None:
        return moved
    context = console_context(request)
    environment = context.environment
    request.current_app = admin.site.name  # as Django's own admin views set it
    shown = {
        "title": "Health",
        "environments": context.environments,
        "current_environment": environment,
        "lines": lines(environment) if environment else [],
        "jobs": timetable.kinds_of_jobs(environment) if environment else [],
        "upkeep": timetable.upkeep(),
    }
    return TemplateResponse(request, "console/health.html", {**admin.site.each_context(request), **shown})


def _configuration(environment: Environment) -> Line:
    served = RUNTIME.environments.get(environment.pk)
    version = served.version if served else None
    is_current = version == environment.config_version
    note = "this process serves no evaluations"
    if RUNTIME.is_ready:
        note = f"{'current' if is_current else 'catching up'}, confirmed {RUNTIME.age_seconds:.0f} s ago"
    return Line(
        "configuration",
        "Configuration served here",
        f"version {version}" if version is not None else "none yet",
        note,
        "good" if is_current else "warn",
        "Every change makes the environment's version one higher. This process answers evaluations from memory, by "
        f"the version shown; the newest is {environment.config_version}.",
        "Catching up takes well under a second. Where it lasts, Redis or PostgreSQL is away (see below); until then "
        "everybody gets the answers of the version shown.",
        reverse("readyz"),
        "What this process says of itself, as JSON",
    )


def _reach(environment: Environment) -> list[Line]:
    found = reach_of(environment)
    config = FlagConfig.objects.filter(environment=environment, flag__key=found.last_kill).first()
    kill_status_url = reverse("admin:flags_flagconfig_kill_status", args=[config.pk]) if config is not None else ""
    behind = found.connected - found.current
    p99 = found.p99_ms
    return [
        *([_puzzled(found, kill_status_url)] if found.puzzled else []),
        Line(
            "services",
            "Services connected",
            f"{found.connected:,}",
            f"{behind:,} not on version {environment.config_version} yet"
            if behind
            else f"all on version {environment.config_version}"
            if found.connected
            else "none in the last minute",
            "warn" if behind else "good" if found.connected else "",
            "Services with an SDK or an edge that hold a stream open and have said in the last minute which version "
            "they are on. Services that ask over HTTP are not among them: each of their answers is current.",
            "A service that stays behind answers by its last version. Look at its log for refused keys, and if it "
            "reaches the stream's address.",
            kill_status_url,
            "The board of the last kill",
        ),
        Line(
            "kills",
            "A kill reaches 99 % of them",
            "not measured yet" if p99 is None else f"within {duration(p99)}",
            f"{found.acknowledgements:,} acknowledgements of the last kills"
            if p99 is not None
            else "no kill this week",
            "" if p99 is None else "bad" if p99 > LATE_AFTER_MS else "good",
            "From the moment a kill was saved to the moment a service applied it, over the kills of the last week.",
            "Slow kills come of services that poll because they cannot hold a stream open, or of clocks that differ.",
            kill_status_url,
            "The board of the last kill",
        ),
    ]


def _puzzled(found: Reach, kill_status_url: str) -> Line:
    shown = ", ".join(found.not_understood[:_MOST_NAMES])
    more = len(found.not_understood) - _MOST_NAMES
    return Line(
        "understanding",
        "Services that do not understand all",
        f"{found.puzzled:,} of {found.connected:,}",
        f"{shown}{f' and {more:,} more' if more > 0 else ''}",
        "warn",
        "These services are too old for something that these flags or segments use. They answer by the last version "
        "that they understood, marked stale. They obey a kill all the same.",
        "Update their SDK or edge, or change the flag back to what they understand.",
        kill_status_url,
        "The board of the last kill",
    )


def _events(value: str, note: str, tone: str) -> Line:
    return Line(
        "events",
        "Events on their way",
        value,
        note,
        tone,
        "Exposures and conversions go through a stream in Redis into the store that results are worked out from. This "
        "is how old the oldest one is that is not stored yet.",
        "Behind for minutes: the ingest process is down or has more than it can do. Nothing is lost meanwhile; results "
        "are as old as the lag. Start the ingest process, or another one beside it.",
    )


def _unknown(environment: Environment) -> Line:
    """Exposures of the last day whose flag or variant is not served here, by name."""
    try:
        value, note, tone = _unknown_names(environment)
    except OperationalError:
        # The store of events is another server. Without it, the rest of the page is what one needs.
        value, note, tone = "unknown", "The store of events is away", "warn"
    return Line(
        "unknown",
        "Exposures of unknown flags or variants",
        value,
        note,
        tone,
        "Exposures of the last 24 hours that name a flag, or a variant of a flag, which is not served in this "
        "environment. They are stored, and count nowhere. The answer to whoever sent them warns of the names.",
        "Look which service sends them: a typing error, a key of another environment, or an archived flag.",
    )


def _unknown_names(environment: Environment) -> tuple[str, str, str]:
    """Return the line's value, note and tone, at most a minute old: all names of a day are read for them."""
    name = f"console:unknown-names:{environment.pk}"
    try:
        found: tuple[str, str, str] | None = cache.get(name)
    except RedisError:
        found = None
    if found is None:
        found = _read_unknown_names(environment)
        with suppress(RedisError):  # Without the cache, each view reads the names anew.
            cache.set(name, found, _CACHED_SECONDS)
    return found


def _read_unknown_names(environment: Environment) -> tuple[str, str, str]:
    flags = served_flags(environment.pk) or {}
    seen = variants_seen(environment.pk, timezone.now() - timedelta(days=1)) if flags else []
    unknown = [
        (f"{key} = {variant}" if key in flags else key, count)
        for key, variant, count in seen
        if key not in flags or ((variants := flags[key]) is not None and variant not in variants)
    ]
    counts: dict[str, int] = {}
    for name, count in unknown:
        counts[name] = counts.get(name, 0) + count
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{name}: {count:,}" for name, count in most[:_MOST_NAMES]]
    more = [f"{len(most) - _MOST_NAMES:,} more"] if len(most) > _MOST_NAMES else []
    return (
        f"{sum(counts.values()):,}" if counts else "none",
        ", ".join([*named, *more]) or "in the last 24 hours",
        "warn" if counts else "good",
    )


def _postgresql() -> Line:
    # The access check found this person's membership a moment ago.
    return Line(
        "postgresql",
        "PostgreSQL",
        "connected",
        "",
        "good",
        "Holds flags, experiments, people, the audit log and, unless ClickHouse does, events.",
        "While it is away evaluations go on from memory; changes are refused with 503 until it is back.",
        reverse("readyz"),
        "What this process says of itself, as JSON",
    )


def _redis(*, is_there: bool) -> Line:
    return Line(
        "redis",
        "Redis",
        "connected" if is_there else "away",
        "" if is_there else "changes are polled, events wait in memory",
        "good" if is_there else "bad",
        "Carries changes to every process and events to the store, and counts requests against their limits.",
        "While it is away each process asks PostgreSQL for changes every few seconds, and events wait in a bounded "
        "buffer. Bring it back before that buffer is full.",
        reverse("readyz"),
        "What this process says of itself, as JSON",
    )


def _disk() -> list[Line]:
    """How much room the embedded servers have; servers of one's own are watched where they are."""
    if not settings.EMBEDDED:
        return []
    try:
        free = shutil.disk_usage(settings.VAR_DIR).free
    except OSError:
        return []
    is_short = free < _LEAST_FREE_BYTES
    return [
        Line(
            "disk",
            "Disk",
            f"{free / 2**30:,.1f} GiB free",
            f"less than {_LEAST_FREE_BYTES / 2**30:g} GiB" if is_short else "",
            "bad" if is_short else "good",
            "The embedded servers keep all data in the folder of FLAGSHIP_VAR_DIR. On a full disk evaluations and "
            "streams go on from memory, and changes and events are refused. What cannot write is started again.",
            "Free the disk, or move the folder to a larger one. Nothing has to be restarted.",
        )
    ]
